package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"kontroler/apis/process"
	"kontroler/controller"
	"kontroler/controller/fault"
	"kontroler/controller/install"
	"kontroler/controller/leader"
	"kontroler/controller/metrics"
	"kontroler/controller/wait"
	"kontroler/store"
)

// runController runs the controller until ctx ends.
func runController(ctx context.Context, cfg config, log *slog.Logger) error {
	collected := metrics.New()
	gate := leader.NewGate(collected.APIRequest, log, os.Exit)
	clients, err := newClients(cfg, gate)
	if err != nil {
		return err
	}
	health := process.NewHealth("database", "caches")
	probes := process.Probes{
		Health: cfg.healthAddress, Metrics: cfg.metricsAddress, Flags: "--health-address or --metrics-address",
	}
	stop, err := probes.Serve(health, collected.Handler(), log)
	if err != nil {
		return err
	}
	defer stop()
	leaseNS := leaseNamespace(cfg)
	cluster, err := awaitCluster(ctx, log, func() (install.Cluster, error) {
		return install.Preflight(ctx, install.PreflightConfig{
			Kube: clients.kube, Namespaces: cfg.namespaces, LeaseNamespace: leaseNS, ReadsLogs: cfg.logLimit > 0,
		})
	})
	if err != nil {
		return stopped(ctx, err)
	}
	for _, closed := range cluster.ClosedNamespaces {
		log.Error("the controller has no permissions in a namespace: it does not exist, or has no Role for the "+
			"controller. Its DAGs run once it has one (manifests/components/namespaced/role). "+
			"Check KONTROLER_NAMESPACES (--namespaces)", "namespace", closed)
	}
	for _, absent := range install.AbsentNamespaces(ctx, clients.kube, cfg.namespaces) {
		log.Warn("a namespace does not exist. Its DAGs run once it is created. "+
			"Check KONTROLER_NAMESPACES (--namespaces)", "namespace", absent)
	}
	health.Set("database", func() string { return "no answer yet" })
	db, identity, err := openDatabase(ctx, cfg, cluster.UID, log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer db.Close()
	id := identity.ControllerID
	elector, err := leader.New(leader.Config{
		Leases: clients.lease.CoordinationV1(), ID: id, Namespace: leaseNS, Holder: holder(),
		LeaseDuration: cfg.leaseDuration, TakeImmediately: !cfg.leaderElect, AcceptRestored: cfg.acceptRestored,
		Epochs: db, Metrics: collected, Log: log,
	})
	if err != nil {
		return err
	}
	gate.Guard(elector.Stale)
	c, err := controller.New(controller.Config{
		Kube: clients.kube, Client: clients.dags, ID: id, Since: identity.CreatedAt,
		Namespaces: cfg.namespaces, Class: cfg.class, LeaseNamespace: leaseNS,
		MaxPods: cfg.maxPods, StartGrace: cfg.startGrace, HistoryRetention: cfg.historyRetention,
		WebhookDeny: cfg.webhookDeny, LogLimit: cfg.logLimit,
		Writes: gate.Writes, DatabaseAway: elector.DatabaseAway, Metrics: collected, Log: log,
	})
	if err != nil {
		return err
	}
	// The watches outlive ctx until the last term has ended.
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer unwatch()
	c.Start(watching)
	health.Set("database", databaseFault(elector.DatabaseAway))
	health.Set("caches", cachesFault(c.Synced))
	log.Info("started", "controller", id, "version", version.String(), "kubernetes", cluster.Version,
		"class", cfg.class, "namespaces", strings.Join(cfg.namespaces, ","), "maxPods", cfg.maxPods)
	return elector.Run(ctx, func(ctx context.Context, epoch int64) error {
		term, err := db.Lead(ctx, store.Term{
			ControllerID: id, Epoch: epoch, IdleTimeout: cfg.leaseDuration / 3, Hook: fault.Point,
			RoundTrip: collected.DatabaseRoundTrip,
		})
		if err != nil {
			return err
		}
		defer term.Close()
		return c.Lead(ctx, term)
	})
}

// runUninstall removes the finalizer from the Pods of the controller that owns the database, or of all controllers.
func runUninstall(ctx context.Context, cfg config, log *slog.Logger) error {
	clients, err := newClients(cfg, leader.NewGate(metrics.New().APIRequest, log, os.Exit))
	if err != nil {
		return err
	}
	id := ""
	if !cfg.all {
		db, err := store.Open(ctx, store.Config{URL: cfg.databaseURL, MaxOpen: 1})
		if err != nil {
			return fmt.Errorf("%w. If the database no longer exists, use --all", err)
		}
		defer db.Close()
		identity, err := db.Identity(ctx)
		if err != nil {
			return fmt.Errorf("%w. If no controller has used this database, use --all", err)
		}
		id = identity.ControllerID
	}
	changed, err := install.Uninstall(ctx, install.UninstallConfig{
		Kube: clients.kube, ID: id, Namespaces: cfg.namespaces, LeaseNamespace: cfg.leaseNamespace, Log: log,
	})
	if err != nil {
		return err
	}
	log.Info("removed the finalizer from all Pods", "controller", id, "changed", changed)
	return nil
}

// awaitCluster calls preflight every second while the API server does not answer, and logs that it waits. It returns
// the first other result, or the error of ctx. The process does not exit instead, because Kubernetes would restart it
// with a growing delay.
func awaitCluster(
	ctx context.Context, log *slog.Logger, preflight func() (install.Cluster, error),
) (install.Cluster, error) {
	began, logged := time.Now(), time.Time{}
	for {
		cluster, err := preflight()
		if err == nil || !install.IsAway(err) {
			return cluster, err
		}
		if ctx.Err() == nil && time.Since(logged) >= logInterval {
			logged = time.Now()
			log.Warn("waiting for the API server", "since", time.Since(began).Round(time.Second).String(), "error", err)
		}
		if !wait.For(ctx, time.Second) {
			return install.Cluster{}, ctx.Err()
		}
	}
}

// logInterval is the time between two log lines of a start that waits.
const logInterval = 5 * time.Second

// openDatabase opens the database, migrates it and binds it to the cluster. While the database is unavailable it
// retries and logs that it waits. Any other error is returned.
func openDatabase(ctx context.Context, cfg config, clusterUID string, log *slog.Logger) (
	*store.DB, store.Identity, error) {
	type result struct {
		db       *store.DB
		identity store.Identity
		err      error
	}
	ready := make(chan result, 1)
	try := func() {
		db, identity, err := prepareDatabase(ctx, cfg, clusterUID)
		ready <- result{db, identity, err}
	}
	go try()
	began, cause := time.Now(), error(errors.New("no answer yet"))
	tick := time.NewTicker(logInterval)
	defer tick.Stop()
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, store.Identity{}, ctx.Err()
		case r := <-ready:
			if r.err == nil || !store.IsUnavailable(r.err) {
				return r.db, r.identity, r.err
			}
			cause = r.err
			retry.Reset(time.Second)
		case <-retry.C:
			go try()
		case <-tick.C:
			log.Warn("waiting for the database", "since", time.Since(began).Round(time.Second).String(), "error", cause)
		}
	}
}

// prepareDatabase makes one attempt to open the database.
func prepareDatabase(ctx context.Context, cfg config, clusterUID string) (*store.DB, store.Identity, error) {
	db, err := store.Open(ctx, store.Config{URL: cfg.databaseURL})
	if err != nil {
		return nil, store.Identity{}, fmt.Errorf("%w. Check DATABASE_URL (or --database-url) and PGPASSWORD", err)
	}
	identity, err := func() (store.Identity, error) {
		if err := db.Migrate(ctx); err != nil {
			return store.Identity{}, err
		}
		if len(cfg.readerRoles) > 0 {
			if err := db.GrantReaders(ctx, cfg.readerRoles); err != nil {
				return store.Identity{}, fmt.Errorf("--reader-roles: %w", err)
			}
		}
		identity, err := db.Identity(ctx)
		if err != nil {
			return store.Identity{}, err
		}
		return identity, db.BindCluster(ctx, clusterUID, cfg.adoptCluster)
	}()
	if err != nil {
		db.Close()
		return nil, store.Identity{}, err
	}
	return db, identity, nil
}

// stopped returns nil if ctx has ended, which is a regular exit, otherwise err.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// advice returns an error as one line. For errors that do not say what to do, it adds that.
func advice(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	switch {
	case errors.Is(err, store.ErrOtherCluster):
		return text + ". Use another database, or take this one over with --adopt-cluster " +
			"if that cluster no longer exists"
	case errors.Is(err, store.ErrRestored):
		return text + ". It lacks what happened since the backup. " +
			"To continue, start with --accept-restored-database; Pods that the database does not know are deleted"
	}
	return text
}

func databaseFault(away func() (time.Time, bool)) func() string {
	return func() string {
		if since, isAway := away(); isAway {
			return "no answer since " + since.UTC().Format(time.RFC3339)
		}
		return ""
	}
}

func cachesFault(synced func() bool) func() string {
	return func() string {
		if synced() {
			return ""
		}
		return "waiting for the first lists of the watches"
	}
}

// holder returns a name that no other process of the controller has.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "_" + strings.ToLower(rand.Text()[:10])
}
