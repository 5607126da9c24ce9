package harness

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Release is an earlier version of Kontroler, from the history of this repository.
type Release struct {
	Commit string
	Dir    string // its files; removed when the tests have ended
}

// firstMigration is the first migration that was written to be applied while older controllers run. The commit before
// it stands for the release before this one, until there is a tag.
const firstMigration = "store/migrations/0011_writes.sql"

// errNoHistory means that nothing is known about earlier commits, as in an archive of the sources.
var errNoHistory = errors.New("the sources come without their history, so the release before them is unknown")

// previousRelease finds the release and writes its files.
var previousRelease = sync.OnceValues(func() (Release, error) {
	commit, err := previousCommit()
	if err != nil {
		return Release{}, err
	}
	dir, err := os.MkdirTemp("", "kontroler-release-")
	if err != nil {
		return Release{}, err
	}
	atEnd(func() { os.RemoveAll(dir) })
	archive := filepath.Join(dir, "archive.tar")
	if _, err := git("archive", "--format=tar", "--output="+archive, commit); err != nil {
		return Release{}, err
	}
	if out, err := exec.Command("tar", "-x", "-f", archive, "-C", dir).CombinedOutput(); err != nil {
		return Release{}, fmt.Errorf("unpacking commit %s: %w\n%s", commit, err, out)
	}
	return Release{Commit: commit, Dir: dir}, os.Remove(archive)
})

// PreviousRelease returns the release before this commit: the newest version tag among its ancestors, or the commit
// before firstMigration. If this checkout lacks the history, it skips the test; in CI the test fails, because CI can
// fetch the history. Sources that never had a history skip the test everywhere.
func PreviousRelease(t *testing.T) Release {
	t.Helper()
	r, err := previousRelease()
	switch {
	case errors.Is(err, errNoHistory), err != nil && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	t.Logf("the release before this commit is %s", r.Commit)
	return r
}

// previousCommit returns the commit of PreviousRelease.
func previousCommit() (string, error) {
	if _, err := os.Stat(filepath.Join(Root(), ".git")); err != nil {
		return "", errNoHistory
	}
	tags, err := git("tag", "--list", "v[0-9]*", "--merged", "HEAD", "--no-contains", "HEAD", "--sort=-version:refname")
	if err != nil {
		return "", err
	}
	if newest, _, _ := strings.Cut(tags, "\n"); newest != "" {
		return git("rev-parse", "--verify", newest+"^{commit}")
	}
	// In a history that is cut off, the first commit adds all files.
	before, err := git("log", "--diff-filter=A", "--format=%P", "--", firstMigration)
	if err != nil || before != "" {
		return before, err
	}
	isShallow, err := git("rev-parse", "--is-shallow-repository")
	if err != nil || isShallow != "true" {
		return "", cmp.Or(err, errNoHistory)
	}
	return "", errors.New("this checkout lacks the release before it: run git fetch --unshallow --tags")
}

// git runs git in this repository and returns its output without the last newline.
func git(args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", Root()}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// releaseBinary builds the controller of the previous release, as scripts/build does. Compiled packages are cached, so
// that only linking takes time.
var releaseBinary = sync.OnceValues(func() (string, error) {
	r, err := previousRelease()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(r.Dir, "controller-binary")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary,
		"./controller/cmd/controller")
	build.Dir = r.Dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the controller of commit %s: %w\n%s", r.Commit, err, out)
	}
	return binary, nil
})

// Controller makes a process run the controller of the release.
func (r Release) Controller(t *testing.T) ProcessOption {
	t.Helper()
	binary, err := releaseBinary()
	if err != nil {
		t.Fatal(err)
	}
	return func(cmd *exec.Cmd) { cmd.Path, cmd.Args[0] = binary, binary }
}
