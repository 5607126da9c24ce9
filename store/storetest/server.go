package storetest

import (
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

// ErrMissing: there are no PostgreSQL binaries on this machine.
var ErrMissing = errors.New("PostgreSQL is not installed (initdb is neither on PATH nor under /usr/lib/postgresql)")

// Server is a PostgreSQL server on a port of 127.0.0.1 that trusts everybody. Its data survives Stop and Start; it does
// not sync to disk. It ends with the process that started it, also when that is killed.
type Server struct {
	dir, bin string
	port     int
	remove   bool // the directory goes with the process

	mu    sync.Mutex
	guard *exec.Cmd      // the shell that ends the server
	order io.WriteCloser // its standard input
}

// running holds the servers that run: the end of a pipe that nobody holds is closed by the collector.
var running sync.Map

// guardScript runs the server until it is told a signal to end it with, or its standard input closes because whoever
// held the other end is gone.
const guardScript = `
dir=$1 remove=$2; shift 2
"$@" >>"$dir/log" 2>&1 </dev/null & server=$!
if read -r signal; then kill -s "$signal" $server; wait $server
else kill -s QUIT $server; wait $server; [ "$remove" = false ] || rm -rf "$dir"
fi`

// Start starts a server with its data in dir, which is made when it does not exist; a server that had been there goes
// on. As root it runs as user postgres, who must be able to reach dir.
func Start(dir string) (*Server, error) { return start(dir, false) }

func start(dir string, remove bool) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, remove: remove}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := give(dir); err != nil {
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
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata", filepath.Join(s.dir, "data"), "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir = s.dir
	if err := demote(initdb); err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// copyAsStandby stops the server, starts a copy of its data as a hot standby, and goes on.
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
		// A copy has the owner of what it is a copy of, as the server wants it.
		{"cp", "-a", filepath.Join(s.dir, "data", "PG_VERSION"), filepath.Join(dir, "data", "standby.signal")},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("copying a stopped server: %w\n%s", err, out)
		}
	}
	standby, err := start(dir, true)
	return standby, errors.Join(err, s.Start())
}

// URL is where the server's database named postgres is, the same over Stop and Start.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// Start starts a stopped server again and waits until it answers.
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
	guard := exec.Command("/bin/sh", append([]string{"-c", guardScript, "sh", s.dir, strconv.FormatBool(s.remove)}, server...)...)
	guard.Dir = s.dir
	if err := demote(guard); err != nil {
		return err
	}
	order, err := guard.StdinPipe()
	if err != nil {
		return err
	}
	if err := guard.Start(); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.guard, s.order = guard, order
	running.Store(s, nil)
	return s.answers()
}

// answers waits until the server takes connections.
func (s *Server) answers() error {
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

// Stop ends the server as an administrator would: sessions are ended, what is committed is kept.
func (s *Server) Stop() error { return s.end("INT") }

// Crash ends the server at once; it recovers when started again.
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
	if _, err := fmt.Fprintln(s.order, signal); err != nil {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	// The guard's status is the server's: what counts is that both are gone.
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
		// Debian's wrapper scripts and links lead elsewhere; the server's own directory has both.
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
