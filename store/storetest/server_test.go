package storetest_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kontroler/store/storetest"
)

func TestServerKeepsItsData(t *testing.T) {
	server := storetest.NewServer(t)
	db := storetest.Open(t, server.URL())
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := db.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, stop := range map[string]func() error{"Stop": server.Stop, "Crash": server.Crash} {
		for range 2 { // the second finds it stopped
			if err := stop(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for range 2 {
			if err := server.Start(); err != nil {
				t.Fatalf("Start after %s: %v", name, err)
			}
		}
		if got, err := storetest.Open(t, server.URL()).Identity(t.Context()); err != nil || got != want {
			t.Errorf("after %s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestDatabasesAreApart(t *testing.T) {
	one, two := storetest.New(t), storetest.New(t)
	a, err := one.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := two.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a == b {
		t.Errorf("both are %+v", a)
	}
}

// TestDatabasesSortLikeALanguage checks that an index that serves only databases that sort by bytes fails a test.
func TestDatabasesSortLikeALanguage(t *testing.T) {
	for name, url := range map[string]string{"URL": storetest.URL(t), "EmptyURL": storetest.EmptyURL(t)} {
		db, err := sql.Open("postgres", url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var version int
		var sorts bool
		row := db.QueryRow(`SELECT current_setting('server_version_num')::int, 'a'::text < 'B'::text`)
		if err := row.Scan(&version, &sorts); err != nil {
			t.Fatal(err)
		}
		if version >= 150000 && !sorts {
			t.Errorf("the database of %s sorts by bytes", name)
		}
	}
}

// TestServerEndsWithItsProcess kills a process, this test once more, that has started a server.
func TestServerEndsWithItsProcess(t *testing.T) {
	if os.Getenv("STORETEST_CHILD") != "" {
		server := storetest.NewServer(t)
		fmt.Println("\nserver", server.URL())
		time.Sleep(time.Minute)
		return
	}
	temporary := t.TempDir()
	for dir := temporary; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	child := exec.Command(os.Args[0], "-test.run=^TestServerEndsWithItsProcess$")
	child.Env = append(os.Environ(), "STORETEST_CHILD=1", "TMPDIR="+temporary)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		if found, ok := strings.CutPrefix(lines.Text(), "server "); ok {
			u, err := url.Parse(found)
			if err != nil {
				t.Fatal(err)
			}
			address = u.Host
		} else if strings.Contains(lines.Text(), "no database") {
			t.Skip(lines.Text())
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		left, globErr := filepath.Glob(filepath.Join(temporary, "*"))
		if globErr != nil {
			t.Fatal(globErr)
		}
		if err != nil && len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server outlives its process: dialing it: %v; left: %v", err, left)
		}
	}
}
