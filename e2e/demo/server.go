package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

const (
	serverBinary = "bin/server"
	serverRole   = "kontroler_server" // reads the views, and owns the schema of the same name
)

// server is Kontroler's server, with its first user.
type server struct {
	*process
	url            string
	user, password string
}

// makeServerRole makes the role and the schema of the server, as httpapi/README.md says.
func (db *database) makeServerRole(ctx context.Context) error {
	for _, statement := range []string{
		"CREATE ROLE " + serverRole + " LOGIN", "CREATE SCHEMA " + serverRole + " AUTHORIZATION " + serverRole,
	} {
		if _, err := db.sql.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// asServer returns the URL of the database for the server.
func (db *database) asServer() (string, error) {
	u, err := url.Parse(db.url)
	if err != nil {
		return "", fmt.Errorf("reading the URL of the database: %w", err)
	}
	u.User = url.User(serverRole)
	return u.String(), nil
}

// startServer starts the server with new keys and a new password, and waits until it is ready.
func (d *demo) startServer(ctx context.Context, _ func(string)) (string, error) {
	databaseURL, err := d.database.asServer()
	if err != nil {
		return "", err
	}
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	health, err := freeAddress()
	if err != nil {
		return "", err
	}
	s := &server{url: "http://" + address, user: "admin", password: rand.Text()}
	args := []string{"--listen-address", address, "--health-address", health}
	for flag, content := range map[string]string{
		"jwt-key-file": rand.Text() + rand.Text(), "admin-password-file": s.password,
	} {
		file := filepath.Join(d.dir, flag)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return "", fmt.Errorf("making a file of the server: %w", err)
		}
		args = append(args, "--"+flag, file)
	}
	if d.bundle != "" {
		args = append(args, "--trusted-proxies", "127.0.0.0/8") // what serves the UI
	}
	env := []string{"DATABASE_URL=" + databaseURL}
	if d.node.kubeconfig != "" {
		env = append(env, "KUBECONFIG="+d.node.kubeconfig)
	}
	if d.current {
		args = append(args, "--controller-class", d.class(), "--namespaces", namespace)
	}
	if s.process, err = start(filepath.Join(d.dir, "server.log"), env, serverBinary, args...); err != nil {
		return "", err
	}
	d.server = s
	d.atEnd("server stopped", s.stop)
	if err := ready(ctx, "server", s.process, "http://"+health+"/readyz"); err != nil {
		return "", err
	}
	return "server ready; it serves " + s.url + "/api/v1", nil
}
