package versions

import (
	"context"
	"errors"
	"fmt"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/text"
	"kontroler/store"
)

// CacheBytes bounds the versions in memory. It is enough for some 24,000 ordinary tasks.
const CacheBytes = 64 << 20

// ErrUnreadable means that a stored version cannot be made into a graph. A retry does not help.
var ErrUnreadable = errors.New("the version cannot be read")

// Loader loads versions.
type Loader struct {
	db    *store.DAGs
	cache *graphCache
}

// New makes a Loader that caches versions up to a number of bytes.
func New(db *store.DAGs, cacheBytes int64) *Loader {
	return &Loader{db: db, cache: newGraphCache(cacheBytes)}
}

// Load returns a version. Any error but ErrUnreadable is worth a retry. Versions are cached when they are loaded, not
// when they are stored, because there may be many DAGs that do not run.
func (l *Loader) Load(ctx context.Context, versionID int64) (*dag.Graph, error) {
	if graph, ok := l.cache.get(versionID); ok {
		return graph, nil
	}
	version, found, err := l.db.Version(ctx, versionID)
	switch {
	case errors.Is(err, store.ErrCorrupt):
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("%w: its row %d is not in the database", ErrUnreadable, versionID)
	}
	graph, err := dag.Load(version.Spec, version.Tasks)
	if err != nil {
		return nil, fmt.Errorf("%w: version %d: %w", ErrUnreadable, version.Number, err)
	}
	l.cache.put(versionID, graph)
	return graph, nil
}

// Cached returns a version if it is in memory.
func (l *Loader) Cached(versionID int64) (*dag.Graph, bool) { return l.cache.get(versionID) }

// LoadForRun returns the version of a run that has this number of tasks. The graph is blank if the version is
// unreadable (unreadable says why), or if it cannot be loaded now and the run is to be stopped anyway.
func (l *Loader) LoadForRun(
	ctx context.Context, versionID int64, tasks int, stops bool,
) (graph *dag.Graph, unreadable string, err error) {
	graph, err = l.Load(ctx, versionID)
	switch {
	case err == nil:
		return graph, "", nil
	case errors.Is(err, ErrUnreadable):
		return dag.Blank(tasks), text.Clean(err.Error()), nil
	case stops && !store.IsUnavailable(err) && ctx.Err() == nil:
		return dag.Blank(tasks), "", nil
	}
	return nil, "", err
}

// LogPolicy returns the log policy of a version. It is the default, LogsCapture, for an unreadable version.
func (l *Loader) LogPolicy(ctx context.Context, versionID int64) (v1alpha1.LogPolicy, error) {
	graph, err := l.Load(ctx, versionID)
	if errors.Is(err, ErrUnreadable) {
		return v1alpha1.LogsCapture, nil
	}
	if err != nil {
		return "", err
	}
	return graph.Spec().Logs, nil
}

// Webhook returns the webhook of a version. It is nil if the version has none.
func (l *Loader) Webhook(ctx context.Context, versionID int64) (*v1alpha1.Webhook, error) {
	graph, err := l.Load(ctx, versionID)
	if err != nil {
		return nil, err
	}
	return graph.Spec().Webhook, nil
}
