package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kontroler/apis/process"
	"kontroler/apis/tlstest"
)

// kubeconfig is of a cluster that does not answer.
const kubeconfig = `{apiVersion: v1, kind: Config, current-context: none,
clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}], contexts: [{name: none, context: {cluster: none}}]}`

// files writes the files of a server, and returns their paths.
func files(t *testing.T) (key, cert, certKey, ca string) {
	t.Helper()
	dir := t.TempDir()
	authority := tlstest.New(t)
	write := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certPEM, keyPEM := authority.Issue(t, "server", "localhost")
	return write("keys", []byte(strings.Repeat("k", 48))), write("cert.pem", certPEM), write("key.pem", keyPEM),
		write("ca.pem", authority.PEM)
}

func TestParseConfig(t *testing.T) {
	key, cert, certKey, ca := files(t)
	kube := writeFile(t, kubeconfig)
	defaults := config{
		kubeconfig: kube, listenAddress: ":8443", healthAddress: ":8081",
		databaseURL: "postgres://db/k", authDatabaseURL: "postgres://db/k", jwtKeyFile: key,
		sessionLifetime: 12 * time.Hour, sessionIdle: 2 * time.Hour, auditRetention: 8760 * time.Hour,
	}
	full := config{
		kubeconfig: kube, namespaces: []string{"a", "b"}, class: "blue",
		listenAddress: "127.0.0.1:0", databaseURL: "postgres://db/k", authDatabaseURL: "postgres://auth/k",
		jwtKeyFile: key, adminPasswordFile: "/p", sessionLifetime: time.Hour, sessionIdle: time.Minute,
		tlsCert: cert, tlsKey: certKey, clientCA: ca, trustedProxies: "10.0.0.0/8,proxy.example",
		logFormat: "json", logLevel: 4,
	}
	tests := map[string]struct {
		args []string
		env  map[string]string
		want config
	}{
		"without flags the defaults hold": {
			env: map[string]string{
				"DATABASE_URL": "postgres://db/k", "KONTROLER_JWT_KEY_FILE": key, "KUBECONFIG": kube,
			},
			want: defaults,
		},
		"every flag is read": {
			args: []string{
				"--kubeconfig", kube, "--namespaces=a, b,a", "--controller-class=blue",
				"--database-url=postgres://db/k", "--auth-database-url=postgres://auth/k",
				"--listen-address=127.0.0.1:0", "--health-address=", "--jwt-key-file", key, "--admin-password-file=/p",
				"--session-lifetime=1h", "--session-idle=1m", "--audit-retention=0",
				"--tls-cert", cert, "--tls-key", certKey, "--client-ca", ca,
				"--trusted-proxies=10.0.0.0/8,proxy.example", "--log-format=json", "--log-level=warn",
			},
			want: full,
		},
		"every variable is read": {
			env: map[string]string{
				"KONTROLER_KUBECONFIG": kube, "KUBECONFIG": "/nothing", "KONTROLER_NAMESPACES": "a,b",
				"KONTROLER_CONTROLLER_CLASS": "blue",
				"DATABASE_URL":               "postgres://db/k", "KONTROLER_AUTH_DATABASE_URL": "postgres://auth/k",
				"KONTROLER_LISTEN_ADDRESS": "127.0.0.1:0", "KONTROLER_HEALTH_ADDRESS": "",
				"KONTROLER_JWT_KEY_FILE": key, "KONTROLER_ADMIN_PASSWORD_FILE": "/p",
				"KONTROLER_SESSION_LIFETIME": "1h", "KONTROLER_SESSION_IDLE": "1m",
				"KONTROLER_AUDIT_RETENTION": "0", "KONTROLER_TLS_CERT": cert, "KONTROLER_TLS_KEY": certKey,
				"KONTROLER_CLIENT_CA": ca, "KONTROLER_TRUSTED_PROXIES": "10.0.0.0/8,proxy.example",
				"KONTROLER_LOG_FORMAT": "json", "KONTROLER_LOG_LEVEL": "warn",
			},
			want: full,
		},
		"set-password has a user and a file": {
			args: []string{"set-password", "ann", "--password-file=/p"},
			env:  map[string]string{"DATABASE_URL": "postgres://db/k"},
			want: config{
				setPassword: true, user: "ann", passwordFile: "/p",
				databaseURL: "postgres://db/k", authDatabaseURL: "postgres://db/k",
			},
		},
		"set-password may have its flags first": {
			args: []string{"set-password", "--password-file=/p", "--auth-database-url=postgres://auth/k", "ann"},
			want: config{setPassword: true, user: "ann", passwordFile: "/p", authDatabaseURL: "postgres://auth/k"},
		},
		"--help wins over faults":      {args: []string{"--session-idle=x", "-h"}, want: config{help: true}},
		"--version needs nothing else": {args: []string{"--version"}, want: config{version: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseConfig(test.args, lookup(test.env))
			if err != nil {
				t.Fatal(err)
			}
			if (got.certificates != nil) != (test.want.tlsCert != "") ||
				(got.keys != nil) != (test.want.jwtKeyFile != "") {
				t.Errorf("certificates %v, keys %v", got.certificates, got.keys)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(config{}),
				cmpopts.IgnoreFields(config{}, "clients", "keys", "certificates", "proxies")); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseConfigReportsEveryFault(t *testing.T) {
	key, cert, certKey, _ := files(t)
	kube := writeFile(t, kubeconfig)
	tests := map[string]struct {
		args []string
		env  map[string]string
		want []string
	}{
		"a database, a cluster and keys are required": {
			want: []string{
				"no database. Set DATABASE_URL (or --database-url) to postgres://user:password@host/database",
				"no cluster. Set --kubeconfig (or KUBECONFIG), or run in a Pod",
				"no keys. Make a key with: openssl rand -base64 48 > FILE, and set --jwt-key-file",
			},
		},
		"every fault is reported": {
			args: []string{
				"--nonsense", "stray", "--listen-address=", "--health-address=x",
				"--session-lifetime=1s", "--session-idle=forever", "--audit-retention=1h",
				"--jwt-key-file=/nothing/keys", "--tls-cert=/nothing/cert", "--tls-key=/nothing/key",
				"--trusted-proxies=10.0.0.0/8,proxy.example", "--password-file=/p", "--namespaces=a,_,b/c",
				"--controller-class", strings.Repeat("c", 64), "--kubeconfig=/nothing/config",
			},
			env: map[string]string{
				"DATABASE_URL": "postgres://u:ge%heim@h/d", "KONTROLER_AUTH_DATABASE_URL": "mysql://u:geheim@h/d",
				"KONTROLER_LOG_LEVEL": "loud",
			},
			want: []string{
				"flag provided but not defined: -nonsense",
				"flag provided but not defined: -password-file",
				"DATABASE_URL: " + process.ErrDatabaseURL.Error(),
				"KONTROLER_AUTH_DATABASE_URL: " + process.ErrDatabaseURL.Error(),
				`--namespaces: not a name of a namespace: "_", "b/c"`,
				"--controller-class: a class has at most 63 characters, not 64",
				`--health-address: "x" is not an address. Write host:port, or :port for all interfaces`,
				`--session-lifetime: "1s" is not a duration from 1m to 720h`,
				`--session-idle: "forever" is not a duration from 1m to 720h`,
				`--audit-retention: "1h" is neither 0 nor a duration of at least 24h (for 90 days write 2160h)`,
				`KONTROLER_LOG_LEVEL: "loud" is not debug, info, warn or error`,
				"--listen-address: the API needs an address",
				"reading the kubeconfig: stat /nothing/config: no such file or directory. " +
					"Check --kubeconfig (or KUBECONFIG)",
				"--jwt-key-file: reading the key file: open /nothing/keys: no such file or directory",
				"--tls-cert: open /nothing/cert: no such file or directory",
				"--tls-key: open /nothing/key: no such file or directory",
				`--trusted-proxies: "proxy.example" is the name in a client certificate, which needs --client-ca`,
			},
		},
		"files that are not what they should be": {
			env: map[string]string{"KUBECONFIG": kube},
			args: []string{
				"--database-url=postgres://db/k", "--jwt-key-file", cert, "--tls-cert", cert, "--tls-key", certKey,
				"--client-ca", key, "--session-idle=13h",
			},
			want: []string{
				"--session-idle is longer than --session-lifetime",
				"--jwt-key-file: " + cert + ": line 1: the key has 27 bytes and needs 32. " +
					"Make one with: openssl rand -base64 48",
				"--client-ca: the file contains no certificate in PEM",
			},
		},
		"a certificate needs a key, and an authority needs both": {
			env:  map[string]string{"KUBECONFIG": kube},
			args: []string{"--database-url=postgres://db/k", "--jwt-key-file", key, "--tls-cert", cert},
			want: []string{"--tls-cert and --tls-key need each other"},
		},
		"client certificates need TLS": {
			env:  map[string]string{"KUBECONFIG": kube},
			args: []string{"--database-url=postgres://db/k", "--jwt-key-file", key, "--client-ca", cert},
			want: []string{"--client-ca needs --tls-cert and --tls-key"},
		},
		"set-password needs all": {
			args: []string{"set-password"},
			want: []string{
				"no database. Set DATABASE_URL or KONTROLER_AUTH_DATABASE_URL as for the server",
				"no user. Write: server set-password USER --password-file FILE",
				"no password. Set --password-file to a file that contains it",
			},
		},
		"set-password has one user and not the flags of the server": {
			args: []string{
				"set-password", "ann", "bob", "--password-file=/p", "--database-url=postgres://db/k", "--tls-key=x",
			},
			want: []string{"flag provided but not defined: -tls-key", `unexpected argument "bob"`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parseConfig(test.args, lookup(test.env))
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), "heim") {
				t.Error("the error contains a part of the password")
			}
		})
	}
}

// --help names every flag and every variable, and its lines have at most 120 columns.
func TestUsage(t *testing.T) {
	text := usage()
	for _, s := range settings {
		if !strings.Contains(text, "--"+s.Flag) || !strings.Contains(text, s.Env) || s.Env == "" {
			t.Errorf("--%s or its variable %q is not in --help", s.Flag, s.Env)
		}
	}
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 121 {
			t.Errorf("%d characters: %s", len(line)-1, line)
		}
	}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}
