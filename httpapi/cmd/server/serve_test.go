package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"

	"kontroler/apis/tlstest"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
)

// lines is a log. A test can wait for its lines.
type lines struct {
	mu    sync.Mutex
	all   bytes.Buffer
	added chan struct{}
}

func newLines() *lines { return &lines{added: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.added <- struct{}{}:
	default:
	}
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// find waits for a match, and returns its first group.
func (l *lines) find(t *testing.T, pattern string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if match := regexp.MustCompile(pattern).FindStringSubmatch(l.String()); match != nil {
			return match[len(match)-1]
		}
		select {
		case <-l.added:
		case <-ctx.Done():
			t.Fatalf("no %s in the log:\n%s", pattern, l)
		}
	}
}

// running is a server under test.
type running struct {
	log  *lines
	stop context.CancelFunc
	done chan error
}

func start(t *testing.T, terminal *os.File, args ...string) *running {
	t.Helper()
	cfg, err := parseConfig(append(args, "--listen-address=127.0.0.1:0", "--health-address=127.0.0.1:0",
		"--kubeconfig", writeFile(t, kubeconfig)), lookup(nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &running{log: newLines(), stop: cancel, done: make(chan error, 1)}
	go func() { p.done <- serve(ctx, cfg, terminal, slog.New(slog.NewTextHandler(p.log, nil))) }()
	t.Cleanup(cancel)
	return p
}

// end stops the process, unless it has ended by itself, and returns its error.
func (p *running) end() error {
	p.stop()
	return <-p.done
}

// ready waits until both databases can be used.
func (p *running) ready(t *testing.T) (api, health string) {
	t.Helper()
	p.log.find(t, `the database can be used" database=accounts`)
	p.log.find(t, `the database can be used" database=views`)
	return p.log.find(t, `serving the API" address=(\S+)`), p.log.find(t, `serving address=(\S+)`)
}

// asServer returns the URL of a role that has what the README grants, in a database of its own.
func asServer(t *testing.T) (serverURL string, owner *sql.DB) {
	t.Helper()
	base := storetest.URL(t)
	role, serverURL := storetest.NewRole(t, base)
	owner, err := sql.Open("postgres", base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { owner.Close() })
	if _, err := owner.Exec(`CREATE SCHEMA kontroler_server AUTHORIZATION ` + pq.QuoteIdentifier(role)); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Open(t, base).GrantReaders(t.Context(), []string{role}); err != nil {
		t.Fatal(err)
	}
	return serverURL, owner
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	overwrite(t, path, []byte(content))
	return path
}

const adminPassword = "the administrator's passphrase"

// get returns status and body.
func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func loginAs(t *testing.T, client *http.Client, base, user, password string) int {
	t.Helper()
	status, _ := tryLogin(t, client, base, user, password)
	return status
}

func tryLogin(t *testing.T, client *http.Client, base, user, password string) (status int, token string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"user": user, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Post(base+"/api/v1/auth/login", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var session struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&session); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, session.Token
}

// awaitStatistics waits until the process has counted the runs. That begins at the start, and is not part of readiness.
func awaitStatistics(t *testing.T, client *http.Client, base string) {
	t.Helper()
	_, token := tryLogin(t, client, base, "admin", adminPassword)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/statistics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		if resp.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline) {
			t.Fatalf("statistics: %d", resp.StatusCode)
		}
	}
}

// endWithStream opens a stream of events, and stops the process. The stream must end with it, and nothing waits for it.
func (p *running) endWithStream(t *testing.T, client *http.Client, base string) {
	t.Helper()
	login, err := http.NewRequest(http.MethodPost, base+"/api/v1/auth/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	login.SetBasicAuth("admin", adminPassword)
	resp, err := client.Do(login)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var session struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&session); err != nil {
		t.Fatal(err)
	}
	open, err := http.NewRequest(http.MethodGet, base+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	open.Header.Set("Authorization", "Bearer "+session.Token)
	stream, err := client.Do(open)
	if err != nil || stream.StatusCode != http.StatusOK {
		t.Fatalf("a stream: %v, %v", stream, err)
	}
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	for isPlaced := false; !isPlaced; isPlaced = strings.HasPrefix(lines.Text(), "id: ") {
		if !lines.Scan() {
			t.Fatalf("the stream ended before it had an id: %v", lines.Err())
		}
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if strings.Contains(p.log.String(), "have not ended") {
		t.Errorf("the process has waited for a stream:\n%s", p.log)
	}
}

func TestServe(t *testing.T) {
	databaseURL, owner := asServer(t)
	key, cert, certKey, ca := files(t)
	servers, clients := tlstest.New(t), tlstest.New(t)
	certPEM, keyPEM := servers.Issue(t, "server")
	overwrite(t, cert, certPEM)
	overwrite(t, certKey, keyPEM)
	overwrite(t, ca, clients.PEM)
	args := []string{
		"--database-url", databaseURL, "--jwt-key-file", key, "--tls-cert", cert, "--tls-key", certKey,
		"--client-ca", ca,
	}
	p := start(t, os.Stderr, append(args, "--admin-password-file", writeFile(t, adminPassword+"\n"))...)
	api, health := p.ready(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: servers.Client(t, &clients)}}
	if status := loginAs(t, client, "https://"+api, "admin", adminPassword); status != 200 {
		t.Errorf("login: %d", status)
	}
	awaitStatistics(t, client, "https://"+api)
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: servers.Client(t, nil)}}
	if resp, err := stranger.Get("https://" + api + "/openapi.yaml"); err == nil {
		resp.Body.Close()
		t.Errorf("a client without a certificate: %d", resp.StatusCode)
	}
	if status, body := get(t, http.DefaultClient, "http://"+health+"/readyz"); status != 200 ||
		body != "accounts: ok\nviews: ok\ncluster: ok\nserver: ok\n" {
		t.Errorf("readyz: %d %s", status, body)
	}
	_, metrics := get(t, http.DefaultClient, "http://"+health+"/metrics")
	for _, line := range []string{
		`kontroler_server_database_up{database="views"} 1`,
		`kontroler_server_cluster_up{namespace="",resource="dags"} 0`, // nobody answers there
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("%s is missing in the metrics:\n%s", line, metrics)
		}
	}
	p.endWithStream(t, client, "https://"+api)
	// A later start needs no password for the first user.
	again := start(t, os.Stderr, append(args, "--admin-password-file=/nothing")...)
	again.ready(t)
	if err := again.end(); err != nil {
		t.Fatal(err)
	}
	var held int
	if err := owner.QueryRow(`SELECT count(*) FROM information_schema.table_privileges
WHERE table_schema = 'kontroler' AND grantee LIKE 'kontroler test%'`).Scan(&held); err != nil || held != 0 {
		t.Errorf("%d privileges on the tables of the controller, %v", held, err)
	}
	for _, log := range []*lines{p.log, again.log} {
		if strings.Contains(log.String(), adminPassword) || strings.Contains(log.String(), strings.Repeat("k", 48)) {
			t.Error("the log has a secret")
		}
	}
}

// TestWithoutGrants starts a server with a role that may not read the views. The server names the remedy, and recovers
// after the grant.
func TestWithoutGrants(t *testing.T) {
	base := storetest.URL(t)
	role, viewsURL := storetest.NewRole(t, base)
	_, accountsURL := storetest.NewRole(t, storetest.EmptyURL(t))
	key, _, _, _ := files(t)
	p := start(t, os.Stderr, "--database-url", viewsURL, "--auth-database-url", accountsURL, "--jwt-key-file", key)
	accountsFault := p.log.find(t, `waiting for a database" database=accounts error="([^\n]*)`)
	if !strings.Contains(accountsFault, "CREATE SCHEMA kontroler_server AUTHORIZATION") {
		t.Errorf("accounts: %s", accountsFault)
	}
	viewsFault := p.log.find(t, `waiting for a database" database=views error="([^\n]*)`)
	if !strings.Contains(viewsFault, "--reader-roles=") {
		t.Errorf("views: %s", viewsFault)
	}
	health := p.log.find(t, `serving address=(\S+)`)
	status, body := get(t, http.DefaultClient, "http://"+health+"/readyz")
	if status != 503 || !strings.Contains(body, "CREATE SCHEMA") || !strings.Contains(body, "--reader-roles=") {
		t.Errorf("readyz: %d %s", status, body)
	}
	if status, _ := get(t, http.DefaultClient, "http://"+health+"/healthz"); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	if err := storetest.Open(t, base).GrantReaders(t.Context(), []string{role}); err != nil {
		t.Fatal(err)
	}
	p.log.find(t, `the database can be used" database=views`)
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// TestDrain stops a server while a request is half sent. The server answers the request, and accepts no other one.
func TestDrain(t *testing.T) {
	databaseURL, _ := asServer(t)
	key, _, _, _ := files(t)
	p := start(t, os.Stderr, "--database-url", databaseURL, "--jwt-key-file", key, "--admin-password-file",
		writeFile(t, adminPassword))
	api, health := p.ready(t)
	conn, err := net.Dial("tcp", api)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := fmt.Sprintf(`{"user": "admin", "password": %q}`, adminPassword)
	head := fmt.Sprintf("POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err) // The handler has begun to read the body.
	}
	p.stop()
	for { // until the listener is closed
		other, err := net.Dial("tcp", api)
		if err != nil {
			break
		}
		other.Close()
	}
	if status, ready := get(t, http.DefaultClient, "http://"+health+"/readyz"); status != 503 ||
		!strings.Contains(ready, "server: stopping") {
		t.Errorf("readyz: %d %s", status, ready)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.ReadString('\n'); err != nil { // the empty line after 100 Continue
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(reader, nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("the request under way: %v, %v", resp, err)
	}
	resp.Body.Close()
	if err := <-p.done; err != nil {
		t.Error(err)
	}
}

func TestFirstUser(t *testing.T) {
	key, _, _, _ := files(t)
	tests := map[string]struct {
		args []string
		want string
	}{
		"without a password and a terminal": {want: "Set --admin-password-file to a file"},
		"with a file that does not exist": {
			[]string{"--admin-password-file=/nothing"},
			"there is no user yet. The first one, admin, gets the password in --admin-password-file: open /nothing",
		},
		"with a password that is too short": {
			[]string{"--admin-password-file", writeFile(t, "geheim")}, "the password has fewer than 12 characters",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			databaseURL, _ := asServer(t)
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			p := start(t, null, append(test.args, "--database-url", databaseURL, "--jwt-key-file", key)...)
			err = <-p.done
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestFirstUserOnATerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer terminal.Close()
	databaseURL, _ := asServer(t)
	key, _, _, _ := files(t)
	p := start(t, terminal, "--database-url", databaseURL, "--jwt-key-file", key)
	api, _ := p.ready(t)
	// The terminal echoes what is written to it.
	shown := bufio.NewReader(terminal)
	password := ""
	for password == "" {
		line, err := shown.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if _, after, ok := strings.Cut(line, "The first user is admin with password "); ok {
			password = strings.TrimSpace(after)
		}
	}
	if status := loginAs(t, http.DefaultClient, "http://"+api, "admin", password); status != 200 {
		t.Errorf("login with %q: %d", password, status)
	}
	if strings.Contains(p.log.String(), password) {
		t.Error("the log has the password")
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestSetPassword(t *testing.T) {
	databaseURL, owner := asServer(t)
	db, err := accounts.Open(databaseURL, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	set := func(user string) error {
		cfg, err := parseConfig([]string{"set-password", user, "--password-file", writeFile(t, "the new passphrase\n"),
			"--database-url", databaseURL}, lookup(nil))
		if err != nil {
			t.Fatal(err)
		}
		return setPassword(t.Context(), cfg, slog.New(slog.DiscardHandler))
	}
	if err := set("ann"); err == nil || !strings.Contains(err.Error(), "start the server first") {
		t.Errorf("without a schema: %v", err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := set("ann"); err == nil || !strings.Contains(err.Error(), `there is no user "ann"`) {
		t.Errorf("without the user: %v", err)
	}
	if err := db.Users.Create(t.Context(), "ann", accounts.Access{Admin: true}, "old", time.Now()); err != nil {
		t.Fatal(err)
	}
	u, err := db.Users.Get(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	err = db.Sessions.Create(t.Context(), accounts.Session{ID: "s", User: u, CreatedAt: time.Now(),
		ExpiresAt: time.Now().Add(time.Hour)}, "old")
	if err != nil {
		t.Fatal(err)
	}
	if err := set("ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Sessions.Get(t.Context(), "s"); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("the session: %v", err)
	}
	var audited string
	if err := owner.QueryRow(`SELECT user_name || ' ' || action || ' ' || object || ' ' || outcome
FROM kontroler_server.audit`).Scan(&audited); err != nil ||
		audited != "(command line) user.password users/ann succeeded" {
		t.Errorf("audit %q, %v", audited, err)
	}
	key, _, _, _ := files(t)
	p := start(t, os.Stderr, "--database-url", databaseURL, "--jwt-key-file", key)
	api, _ := p.ready(t)
	if status := loginAs(t, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{}}},
		"http://"+api, "ann", "the new passphrase"); status != 200 {
		t.Errorf("login: %d", status)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}
