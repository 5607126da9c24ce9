package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/lib/pq"
)

// ErrMissing means that this machine has no PostgreSQL binaries.
var ErrMissing = errors.New("PostgreSQL is not installed (initdb is neither on PATH nor under /usr/lib/postgresql)")

// Server is a PostgreSQL server on a port of 127.0.0.1. It accepts every client without a password. Its data survives
// Stop and Start, but is not synced to disk. The server ends with the process that started it, even if that is killed.
type Server struct {
	dir, bin    string
	port        int
	isTemporary bool // the directory is removed when the process ends

	mu    sync.Mutex
	guard *exec.Cmd      // the shell that ends the server
	stdin io.WriteCloser // of the guard
}

// running keeps references to the servers that run: without one, the garbage collector would close the guard's pipe.
var running sync.Map

// guardScript runs the server until it reads the name of a signal for the server, or until its standard input closes
// because the process that started it is gone.
const guardScript = `
dir=$1 remove=$2; shift 2
"$@" >>"$dir/log" 2>&1 </dev/null & server=$!
if read -r signal; then kill -s "$signal" $server; wait $server
else kill -s QUIT $server; wait $server; [ "$remove" = false ] || rm -rf "$dir"
fi`

// Start starts a server with its data in dir. If dir has the data of an earlier server, the new one continues with it.
// If this process is root, the server runs as user postgres, who must be able to reach dir.
func Start(dir string) (*Server, error) { return start(dir, false) }

func start(dir string, isTemporary bool) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, isTemporary: isTemporary}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := chown(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
		if err := s.initialize(); err != nil {
			return nil, err
		}
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	return s, s.Start()
}

func (s *Server) initialize() error {
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata", filepath.Join(s.dir, "data"),
		"--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir = s.dir
	if err := demote(initdb); err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// copyAsStandby stops the server, starts a copy of its data as a hot standby, and starts the server again.
func (s *Server) copyAsStandby() (*Server, error) {
	if err := s.Stop(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kontroler-standby-")
	if err != nil {
		return nil, err
	}
	for _, command := range [][]string{
		{"cp", "-a", s.dir + "/.", dir},
		// A copy keeps the owner of the file, which the server requires.
		{"cp", "-a", filepath.Join(s.dir, "data", "PG_VERSION"), filepath.Join(dir, "data", "standby.signal")},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("copying a stopped server: %w\n%s", err, out)
		}
	}
	standby, err := start(dir, true)
	return standby, errors.Join(err, s.Start())
}

// Restore copies the database of another Server with pg_dump and psql, as a superuser of both.
func (s *Server) Restore(from *Server) error {
	dump := exec.Command(filepath.Join(from.bin, "pg_dump"), "--dbname", from.URL())
	restore := exec.Command(filepath.Join(s.bin, "psql"), "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1",
		"--dbname", s.URL())
	content, err := dump.StdoutPipe()
	if err != nil {
		return err
	}
	restore.Stdin = content
	var dumped, restored bytes.Buffer
	dump.Stderr, restore.Stderr = &dumped, &restored
	if err := dump.Start(); err != nil {
		return fmt.Errorf("pg_dump: %w", err)
	}
	restoreErr := restore.Run()
	content.Close() // pg_dump must not wait for a psql that has failed
	dumpErr := dump.Wait()
	if restoreErr != nil {
		return fmt.Errorf("psql: %w\n%s", restoreErr, &restored)
	}
	if dumpErr != nil {
		return fmt.Errorf("pg_dump: %w\n%s", dumpErr, &dumped)
	}
	return nil
}

// Programs returns the directory of PostgreSQL's programs, such as psql and pg_dump.
func (s *Server) Programs() string { return s.bin }

// Log returns the file to which the server writes its log.
func (s *Server) Log() string { return filepath.Join(s.dir, "log") }

// URL returns the URL of the server's database postgres. It stays the same over Stop and Start.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// Start starts a stopped server again and waits until it answers. It does nothing if the server runs.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guard != nil {
		return nil
	}
	server := []string{filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data")}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=", "max_connections=200",
		"fsync=off", "full_page_writes=off", "timezone=UTC", "log_timezone=UTC",
	} {
		server = append(server, "-c", setting)
	}
	args := append([]string{"-c", guardScript, "sh", s.dir, strconv.FormatBool(s.isTemporary)}, server...)
	guard := exec.Command("/bin/sh", args...)
	guard.Dir = s.dir
	if err := demote(guard); err != nil {
		return err
	}
	stdin, err := guard.StdinPipe()
	if err != nil {
		return err
	}
	if err := guard.Start(); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.guard, s.stdin = guard, stdin
	running.Store(s, nil)
	return s.waitUntilReady()
}

// waitUntilReady waits until the server accepts connections.
func (s *Server) waitUntilReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := sql.Open("postgres", s.URL())
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Stop shuts the server down as an administrator would: it ends the sessions and keeps what is committed.
func (s *Server) Stop() error { return s.end("INT") }

// Crash ends the server without a shutdown. It recovers at the next Start.
func (s *Server) Crash() error { return s.end("QUIT") }

func (s *Server) end(signal string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guard == nil {
		return nil
	}
	guard := s.guard
	s.guard = nil
	running.Delete(s)
	if _, err := fmt.Fprintln(s.stdin, signal); err != nil {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	// The guard exits with the status of the server, which does not matter. Both are gone.
	if err := guard.Wait(); err != nil {
		if _, ended := errors.AsType[*exec.ExitError](err); !ended {
			return fmt.Errorf("stopping PostgreSQL: %w", err)
		}
	}
	return nil
}

// binaries returns the directory of the newest PostgreSQL on this machine.
func binaries() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		// Debian's wrapper scripts and links lead elsewhere. The directory of the server has both binaries.
		if real, err := filepath.EvalSymlinks(initdb); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(real), "postgres")); err == nil {
				return filepath.Dir(real), nil
			}
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	major := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) })), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
