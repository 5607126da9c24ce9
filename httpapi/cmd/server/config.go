package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"kontroler/apis/process"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/cluster"
)

// config is the configuration of the server.
type config struct {
	help, version bool
	// setPassword selects the subcommand. user is its operand.
	setPassword bool
	user        string

	kubeconfig string   // a list of files, like KUBECONFIG; empty means in-cluster
	namespaces []string // empty means all
	class      string

	listenAddress     string
	healthAddress     string // empty means none
	databaseURL       string
	authDatabaseURL   string // databaseURL if it is not set
	jwtKeyFile        string
	adminPasswordFile string // empty means none
	passwordFile      string // of set-password
	sessionLifetime   time.Duration
	sessionIdle       time.Duration
	auditRetention    time.Duration // 0 means for ever
	tlsCert, tlsKey   string        // empty means plain HTTP
	clientCA          string        // empty means that no client certificate is needed
	trustedProxies    string
	logFormat         string // json or text; empty means text on a terminal, else json
	logLevel          slog.Level

	// The content of the files.
	clients      cluster.Clients
	keys         *auth.Keys
	certificates *certificates // nil means plain HTTP
	proxies      auth.Proxies
}

// The marks of the flags of set-password: those that it shares with the server, and those that only it has.
const (
	inBoth    = "*"
	onlyThere = "+"
)

// settings are all flags, in the order of --help.
var settings = []process.Setting[config]{
	{
		Flag: "database-url", Placeholder: "URL", Env: "DATABASE_URL", Mark: inBoth,
		Set: process.DatabaseURL(func(c *config) *string { return &c.databaseURL }),
		Help: "the PostgreSQL database of the controller: postgres://user:password@host/database?sslmode=…\n" +
			"Required. The user reads the views of schema kontroler_v1. Prefer the variable: " +
			"other users of a machine\n" +
			"can read its command lines. If the URL has no password, that of PGPASSWORD is used",
	},
	{
		Flag: "auth-database-url", Placeholder: "URL", Env: "KONTROLER_AUTH_DATABASE_URL", Mark: inBoth,
		Set: process.DatabaseURL(func(c *config) *string { return &c.authDatabaseURL }),
		Help: "the database of users, sessions and audit, in schema kontroler_server, which the user owns\n" +
			"(default that of --database-url)",
	},
	{
		Flag: "kubeconfig", Placeholder: "FILE", Env: "KONTROLER_KUBECONFIG",
		Set:  process.Text(func(c *config) *string { return &c.kubeconfig }),
		Help: "how to reach the cluster (default KUBECONFIG, else the service account of this Pod)",
	},
	{
		Flag: "namespaces", Placeholder: "LIST", Env: "KONTROLER_NAMESPACES",
		Set:  process.Namespaces(func(c *config) *[]string { return &c.namespaces }),
		Help: "the namespaces to serve, separated by commas (default all), as the controller's",
	},
	{
		Flag: "controller-class", Placeholder: "CLASS", Env: "KONTROLER_CONTROLLER_CLASS",
		Set: process.Class(func(c *config) *string { return &c.class }),
		Help: "the class of the controller. The server sets it on the DAGs that it creates " +
			"(default the empty class)",
	},
	{
		Flag: "listen-address", Placeholder: "[HOST]:PORT", Env: "KONTROLER_LISTEN_ADDRESS", Default: ":8443",
		Set:  process.Address(func(c *config) *string { return &c.listenAddress }),
		Help: "the address of the API",
	},
	{
		Flag: "health-address", Placeholder: "[HOST]:PORT", Env: "KONTROLER_HEALTH_ADDRESS", Default: ":8081",
		Set:  process.Address(func(c *config) *string { return &c.healthAddress }),
		Help: "the address of /healthz, /readyz and /metrics, without TLS; empty means none",
	},
	{
		Flag: "jwt-key-file", Placeholder: "FILE", Env: "KONTROLER_JWT_KEY_FILE",
		Set: process.Text(func(c *config) *string { return &c.jwtKeyFile }),
		Help: "the keys of session tokens, one a line, equal on all replicas. Required. Make one with: openssl rand\n" +
			"-base64 48. The first signs, all verify. The file is read again when it changes",
	},
	{
		Flag: "admin-password-file", Placeholder: "FILE", Env: "KONTROLER_ADMIN_PASSWORD_FILE",
		Set: process.Text(func(c *config) *string { return &c.adminPasswordFile }),
		Help: "the password of the first user, admin. It is read only while there is no user. " +
			"On a terminal it may be\n" +
			"missing: the server makes a password and shows it once",
	},
	{
		Flag: "password-file", Placeholder: "FILE", Env: "KONTROLER_PASSWORD_FILE", Mark: onlyThere,
		Set:  process.Text(func(c *config) *string { return &c.passwordFile }),
		Help: "the new password. Required",
	},
	{
		Flag: "session-lifetime", Placeholder: "DURATION", Env: "KONTROLER_SESSION_LIFETIME", Default: "12h",
		Set:  sessionDuration(func(c *config) *time.Duration { return &c.sessionLifetime }),
		Help: "how long a session lasts after the login: 1m to 720h",
	},
	{
		Flag: "session-idle", Placeholder: "DURATION", Env: "KONTROLER_SESSION_IDLE", Default: "2h",
		Set:  sessionDuration(func(c *config) *time.Duration { return &c.sessionIdle }),
		Help: "how long a session lasts without being used: 1m to 720h",
	},
	{
		Flag: "audit-retention", Placeholder: "DURATION", Env: "KONTROLER_AUDIT_RETENTION", Default: "8760h",
		Set: process.Duration(func(c *config) *time.Duration { return &c.auditRetention },
			func(d time.Duration) bool { return d == 0 || d >= 24*time.Hour },
			"neither 0 nor a duration of at least 24h (for 90 days write 2160h)"),
		Help: "how long the audit is kept: at least 24h; 0 means for ever",
	},
	{
		Flag: "tls-cert", Placeholder: "FILE", Env: "KONTROLER_TLS_CERT",
		Set: process.Text(func(c *config) *string { return &c.tlsCert }),
		Help: "the certificate of the API, with its chain, in PEM. Without it the API is plain HTTP. " +
			"Files of TLS are read\n" +
			"again when they change",
	},
	{
		Flag: "tls-key", Placeholder: "FILE", Env: "KONTROLER_TLS_KEY",
		Set:  process.Text(func(c *config) *string { return &c.tlsKey }),
		Help: "the key of --tls-cert, in PEM",
	},
	{
		Flag: "client-ca", Placeholder: "FILE", Env: "KONTROLER_CLIENT_CA",
		Set: process.Text(func(c *config) *string { return &c.clientCA }),
		Help: "the authorities of client certificates, in PEM. " +
			"Every client of the API must have a certificate of theirs.\n" +
			"It admits the connection, and does not log in",
	},
	{
		Flag: "trusted-proxies", Placeholder: "LIST", Env: "KONTROLER_TRUSTED_PROXIES",
		Set: process.Text(func(c *config) *string { return &c.trustedProxies }),
		Help: "proxies whose headers X-Forwarded-For and X-Forwarded-Proto count: " +
			"networks (10.0.0.0/8), or DNS names and\n" +
			"URIs in their client certificates, separated by commas (default none)",
	},
	{
		Flag: "log-format", Placeholder: "json|text", Env: "KONTROLER_LOG_FORMAT", Mark: inBoth,
		Set:  process.LogFormat(func(c *config) *string { return &c.logFormat }),
		Help: "the format of the log (default text on a terminal, else json)",
	},
	{
		Flag: "log-level", Placeholder: "LEVEL", Env: "KONTROLER_LOG_LEVEL", Default: "info", Mark: inBoth,
		Set:  process.LogLevel(func(c *config) *slog.Level { return &c.logLevel }),
		Help: "debug, info, warn or error",
	},
}

const usageHead = `Kontroler's server: reads and drives DAGs over REST.

  server [flags]                                    serves the API
  server set-password USER --password-file F [...]  sets the password of a user who is locked out, and ends the
                                                    sessions of the user. It has the flags marked with * and +
  server --version

Every flag has an environment variable, shown beside it. The flag takes precedence.

`

// usage returns the text of --help.
func usage() string { return usageHead + process.Usage(settings) }

// parseConfig reads flags, environment and files. Its error names every fault.
func parseConfig(args []string, env func(string) (string, bool)) (config, error) {
	var c config
	c.setPassword = len(args) > 0 && args[0] == "set-password"
	if c.setPassword {
		args = args[1:]
	}
	own := slices.DeleteFunc(slices.Clone(settings), func(s process.Setting[config]) bool {
		if c.setPassword {
			return s.Mark == ""
		}
		return s.Mark == onlyThere
	})
	given, faults := process.ParseArgs(own, map[string]*bool{"version": &c.version}, args)
	if c.help = given.Help; c.help || c.version {
		return c, nil
	}
	if c.setPassword && len(given.Operands) > 0 {
		c.user, given.Operands = given.Operands[0], given.Operands[1:]
	}
	for _, operand := range given.Operands {
		faults = errors.Join(faults, process.Unexpected(operand))
	}
	faults = errors.Join(faults, process.Apply(&c, own, given.Values, env))
	if c.authDatabaseURL == "" {
		c.authDatabaseURL = c.databaseURL
	}
	if c.kubeconfig == "" && !c.setPassword {
		c.kubeconfig, _ = env("KUBECONFIG")
	}
	if c.setPassword {
		faults = c.checkSetPassword(faults)
	} else {
		faults = c.checkServer(faults)
	}
	if faults != nil {
		return config{}, faults
	}
	return c, nil
}

// checkSetPassword adds faults to those that are known.
func (c *config) checkSetPassword(faults error) error {
	if c.authDatabaseURL == "" && !errors.Is(faults, process.ErrDatabaseURL) {
		faults = errors.Join(faults,
			errors.New("no database. Set DATABASE_URL or KONTROLER_AUTH_DATABASE_URL as for the server"))
	}
	if !auth.IsUserName(c.user) {
		faults = errors.Join(faults, errors.New("no user. Write: server set-password USER --password-file FILE"))
	}
	if c.passwordFile == "" {
		faults = errors.Join(faults, errors.New("no password. Set --password-file to a file that contains it"))
	}
	return faults
}

// checkServer adds faults to those that are known.
func (c *config) checkServer(faults error) error {
	if c.databaseURL == "" && !errors.Is(faults, process.ErrDatabaseURL) {
		faults = errors.Join(faults, errors.New("no database. Set DATABASE_URL (or --database-url) to "+
			"postgres://user:password@host/database"))
	}
	if c.listenAddress == "" {
		faults = errors.Join(faults, errors.New("--listen-address: the API needs an address"))
	}
	if c.sessionIdle > c.sessionLifetime && c.sessionLifetime > 0 {
		faults = errors.Join(faults, errors.New("--session-idle is longer than --session-lifetime"))
	}
	var err error
	c.clients, err = openCluster(c.kubeconfig)
	faults = errors.Join(faults, err)
	if c.jwtKeyFile == "" {
		faults = errors.Join(faults,
			errors.New("no keys. Make a key with: openssl rand -base64 48 > FILE, and set --jwt-key-file"))
	} else if c.keys, err = auth.OpenKeys(c.jwtKeyFile); err != nil {
		faults = errors.Join(faults, fmt.Errorf("--jwt-key-file: %w", err))
	}
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		faults = errors.Join(faults, errors.New("--tls-cert and --tls-key need each other"))
	case c.tlsCert == "" && c.clientCA != "":
		faults = errors.Join(faults, errors.New("--client-ca needs --tls-cert and --tls-key"))
	case c.tlsCert != "":
		c.certificates, err = openCertificates(c.tlsCert, c.tlsKey, c.clientCA)
		faults = errors.Join(faults, err)
	}
	if c.proxies, err = auth.ParseProxies(c.trustedProxies, c.clientCA != ""); err != nil {
		faults = errors.Join(faults, fmt.Errorf("--trusted-proxies: %w", err))
	}
	return faults
}

// openCluster makes the clients of the cluster. It sends no request.
func openCluster(kubeconfig string) (cluster.Clients, error) {
	rest, err := process.RESTConfig(kubeconfig)
	if err != nil {
		return cluster.Clients{}, err
	}
	return cluster.New(rest, "kontroler-server/"+version.String())
}

func sessionDuration(field func(*config) *time.Duration) func(*config, string) error {
	return process.Duration(field,
		func(d time.Duration) bool { return d >= time.Minute && d <= 30*24*time.Hour },
		"not a duration from 1m to 720h")
}
