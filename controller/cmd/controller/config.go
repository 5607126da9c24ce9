package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/controller/webhook"
)

// config is everything that the controller can be told.
type config struct {
	help, version bool
	// uninstall: the subcommand; all: for every controller, not only the database's.
	uninstall, all bool

	kubeconfig     string // a list of files as KUBECONFIG is; empty: in-cluster
	databaseURL    string
	namespaces     []string // empty: all
	class          string
	leaderElect    bool
	leaseNamespace string // empty: the Pod's own, else "default"
	leaseDuration  time.Duration
	healthAddress  string // empty: off
	metricsAddress string // empty: off
	logFormat      string // json, text; empty: by what stderr is
	logLevel       slog.Level
	kubeAPIQPS     float64 // 0: unlimited
	maxPods        int
	startGrace     time.Duration
	// historyRetention: 0 is for ever.
	historyRetention time.Duration
	adoptCluster     bool
	acceptRestored   bool
	webhookDeny      string // CIDRs, separated by commas
	logLimit         int64  // bytes; 0: logs are not kept
}

// setting is one thing that can be told, by flag or by environment variable.
type setting struct {
	flag      string
	value     string // what the flag takes, for --help; empty: true or false
	env       string // empty: no environment twin
	fallback  string
	help      string
	uninstall bool // the subcommand has it too
	set       func(*config, string) error
}

// settings lists all of them, in the order of --help.
func settings() []setting {
	return []setting{
		{"database-url", "URL", "DATABASE_URL", "", "the PostgreSQL of this controller: postgres://user:password@host/database?sslmode=…;\nrequired. Others can read a command line: prefer the variable", true, setDatabaseURL},
		{"kubeconfig", "FILE", "KONTROLER_KUBECONFIG", "", "how to reach the cluster; default KUBECONFIG, else the service account of this Pod", true, text(func(c *config) *string { return &c.kubeconfig })},
		{"namespaces", "LIST", "KONTROLER_NAMESPACES", "", "the namespaces to work in, separated by commas; default all", true, setNamespaces},
		{"controller-class", "CLASS", "KONTROLER_CONTROLLER_CLASS", "", "the class of the DAGs to claim: their spec.controllerClass; default the empty class", false, setClass},
		{"max-pods", "N", "KONTROLER_MAX_PODS", "2000", "how many Pods live at once; more tasks wait, Throttled", false, setMaxPods},
		{"start-grace", "DURATION", "KONTROLER_START_GRACE", "5m", "how long a Pod may fail to start (no such image, Secret or key) before its attempt fails: 1s to 24h", false, setStartGrace},
		{"history-retention", "DURATION", "KONTROLER_HISTORY_RETENTION", "2160h", "how long runs and logs are kept in PostgreSQL after their end, 1h at least; 0: for ever", false, setHistoryRetention},
		{"webhook-deny", "CIDRS", "KONTROLER_WEBHOOK_DENY", "", "networks that webhooks may not reach, separated by commas, beside loopback, link-local and\nmetadata addresses, which none may", false, setWebhookDeny},
		{"log-limit", "BYTES", "KONTROLER_LOG_LIMIT", "8Mi", "how much of a task's log is kept, half of it from its beginning and half from its end: 64Ki to 64Mi", false, setLogLimit},
		{"log-archive", "on|off", "KONTROLER_LOG_ARCHIVE", "on", "keep the logs of tasks; off: they go with their Pods", false, setLogArchive},
		{"leader-elect", "", "KONTROLER_LEADER_ELECT", "true", "wait until no other process of this controller leads; false: take the Lease at once,\nwhoever holds it", false, boolean(func(c *config) *bool { return &c.leaderElect })},
		{"lease-namespace", "NAMESPACE", "KONTROLER_LEASE_NAMESPACE", "", "where the Lease is; default the namespace of this Pod, else \"default\"", true, setLeaseNamespace},
		{"lease-duration", "DURATION", "KONTROLER_LEASE_DURATION", "15s", "how long a leader is believed that does not renew its Lease: whole seconds, 3s to 2m", false, setLeaseDuration},
		{"health-address", "[HOST]:PORT", "KONTROLER_HEALTH_ADDRESS", ":8081", "where /healthz and /readyz are; empty: nowhere", false, address(func(c *config) *string { return &c.healthAddress })},
		{"metrics-address", "[HOST]:PORT", "KONTROLER_METRICS_ADDRESS", ":8080", "where /metrics is, for Prometheus; it may be the health address; empty: nowhere", false, address(func(c *config) *string { return &c.metricsAddress })},
		{"kube-api-qps", "N", "KONTROLER_KUBE_API_QPS", "0", "requests a second to the API server, at most; 0: as many as it takes", false, setQPS},
		{"log-format", "json|text", "KONTROLER_LOG_FORMAT", "", "default text on a terminal, else json", true, setLogFormat},
		{"log-level", "LEVEL", "KONTROLER_LOG_LEVEL", "info", "debug, info, warn or error", true, setLogLevel},
		{"adopt-cluster", "", "KONTROLER_ADOPT_CLUSTER", "false", "go on with a database that belongs to another cluster, which no controller serves any more", false, boolean(func(c *config) *bool { return &c.adoptCluster })},
		{"accept-restored-database", "", "KONTROLER_ACCEPT_RESTORED_DATABASE", "false", "go on with a database restored from a backup: what happened since is not in it", false, boolean(func(c *config) *bool { return &c.acceptRestored })},
	}
}

const usageHead = `Kontroler's controller: runs DAGs of containers on Kubernetes.

  controller [flags]                    run the controller
  controller uninstall [flags] [--all]  take the finalizer off all Pods of the controller whose database is given, or of
                                        all controllers, so that nothing holds them back once it is gone. Stop the
                                        controller first. Flags: those marked *
  controller --version

Every flag has an environment twin, named beside it; the flag wins.

`

// usage is the text of --help.
func usage() string {
	var b strings.Builder
	b.WriteString(usageHead)
	for _, s := range settings() {
		mark := " "
		if s.uninstall {
			mark = "*"
		}
		name := "--" + s.flag
		if s.value != "" {
			name += " " + s.value
		}
		fmt.Fprintf(&b, "%s %-34s %s\n", mark, name, s.env)
		help := s.help
		if s.fallback != "" {
			help += " (default " + s.fallback + ")"
		}
		fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(help, "\n", "\n      "))
	}
	return b.String()
}

// faults is everything that is wrong with a configuration, a line each.
type faults []error

func (f faults) Error() string {
	lines := make([]string, len(f))
	for i, err := range f {
		lines[i] = "controller: " + err.Error()
	}
	return strings.Join(lines, "\n")
}

// parseConfig reads flags and environment. Its error is a faults.
func parseConfig(args []string, env func(string) (string, bool)) (config, error) {
	var c config
	if len(args) > 0 && args[0] == "uninstall" {
		c.uninstall, args = true, args[1:]
	}
	given, wrong := parseFlags(&c, args)
	if c.help || c.version {
		return c, nil
	}
	for _, s := range settings() {
		if c.uninstall && !s.uninstall {
			continue
		}
		source, value := "--"+s.flag, s.fallback
		if fromEnv, ok := env(s.env); ok {
			// A number or a switch that is set to nothing is as good as not set; a text may mean to be empty.
			if fromEnv != "" || s.value != "" && s.fallback == "" || strings.HasSuffix(s.flag, "-address") {
				source, value = s.env, fromEnv
			}
		}
		if fromFlag, ok := given[s.flag]; ok {
			source, value = "--"+s.flag, fromFlag
		}
		if err := s.set(&c, value); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", source, err))
		}
	}
	if c.kubeconfig == "" {
		c.kubeconfig, _ = env("KUBECONFIG")
	}
	if c.databaseURL == "" && !c.all && !slices.ContainsFunc(wrong, func(err error) bool { return errors.Is(err, errDatabaseURL) }) {
		missing := "no database: set DATABASE_URL (or --database-url) to postgres://user:password@host/database"
		if c.uninstall {
			missing += ", or give --all"
		}
		wrong = append(wrong, errors.New(missing))
	}
	if len(wrong) > 0 {
		return config{}, wrong
	}
	return c, nil
}

// parseFlags returns the flags that were given, unread, and what is no flag. It goes on after a fault.
func parseFlags(c *config, args []string) (given map[string]string, wrong faults) {
	given = map[string]string{}
	set := flag.NewFlagSet("controller", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&c.version, "version", false, "")
	if c.uninstall {
		set.BoolVar(&c.all, "all", false, "")
	}
	for _, s := range settings() {
		if !c.uninstall || s.uninstall {
			set.Var(&rawFlag{given: given, name: s.flag, isBool: s.value == ""}, s.flag, "")
		}
	}
	for {
		err := set.Parse(args)
		args = set.Args()
		switch {
		case errors.Is(err, flag.ErrHelp):
			c.help = true
			return given, nil
		case err != nil:
			wrong = append(wrong, err)
			if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				args = args[1:] // most likely the value of the flag that is none
			}
		case len(args) == 0:
			return given, wrong
		default:
			wrong = append(wrong, fmt.Errorf("unexpected argument %q", args[0]))
			args = args[1:]
		}
	}
}

// rawFlag keeps a flag's text, to be read later, with all others.
type rawFlag struct {
	given  map[string]string
	name   string
	isBool bool
}

func (f *rawFlag) String() string   { return "" }
func (f *rawFlag) IsBoolFlag() bool { return f.isBool }
func (f *rawFlag) Set(value string) error {
	f.given[f.name] = value
	return nil
}

func text(field func(*config) *string) func(*config, string) error {
	return func(c *config, value string) error {
		*field(c) = value
		return nil
	}
}

func boolean(field func(*config) *bool) func(*config, string) error {
	return func(c *config, value string) error {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		*field(c) = on
		return nil
	}
}

func address(field func(*config) *string) func(*config, string) error {
	return func(c *config, value string) error {
		if value == "" {
			*field(c) = ""
			return nil
		}
		_, port, err := net.SplitHostPort(value)
		if err != nil {
			return fmt.Errorf("%q is no address: write host:port, or :port for every interface", value)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return fmt.Errorf("%q has no port between 0 and 65535", value)
		}
		*field(c) = value
		return nil
	}
}

// errDatabaseURL never quotes the URL: there may be a password in it.
var errDatabaseURL = errors.New("this is not a URL that begins with postgres:// (special characters in a password are written %XX)")

func setDatabaseURL(c *config, value string) error {
	if strings.Contains(value, "://") {
		if u, err := url.Parse(value); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			return errDatabaseURL
		}
	}
	c.databaseURL = value
	return nil
}

func setNamespaces(c *config, value string) error {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	var wrong []string
	for namespace := range strings.SplitSeq(value, ",") {
		namespace = strings.TrimSpace(namespace)
		switch {
		case len(validation.IsDNS1123Label(namespace)) > 0:
			wrong = append(wrong, strconv.Quote(namespace))
		case !slices.Contains(c.namespaces, namespace):
			c.namespaces = append(c.namespaces, namespace)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("no name of a namespace: %s", strings.Join(wrong, ", "))
	}
	return nil
}

func setClass(c *config, value string) error {
	if n := len([]rune(value)); n > 63 {
		return fmt.Errorf("a class has 63 characters at most, this one %d", n)
	}
	c.class = value
	return nil
}

func setMaxPods(c *config, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > math.MaxInt32 {
		return fmt.Errorf("%q is not a number from 1 on", value)
	}
	c.maxPods = n
	return nil
}

func setStartGrace(c *config, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d < time.Second || d > 24*time.Hour {
		return fmt.Errorf("%q is not a duration from 1s to 24h", value)
	}
	c.startGrace = d
	return nil
}

func setHistoryRetention(c *config, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d != 0 && d < time.Hour {
		return fmt.Errorf("%q is neither a duration from 1h on (90 days are 2160h) nor 0", value)
	}
	c.historyRetention = d
	return nil
}

func setWebhookDeny(c *config, value string) error {
	if _, err := webhook.NewGuard(value); err != nil {
		return err
	}
	c.webhookDeny = value
	return nil
}

func setLogLimit(c *config, value string) error {
	q, err := resource.ParseQuantity(value)
	if n, whole := q.AsInt64(); err != nil || !whole || n < 64<<10 || n > 64<<20 {
		return fmt.Errorf("%q is not a number of bytes from 64Ki to 64Mi", value)
	}
	c.logLimit = q.Value()
	return nil
}

// setLogArchive comes after the limit.
func setLogArchive(c *config, value string) error {
	switch value {
	case "on":
	case "off":
		c.logLimit = 0
	default:
		return fmt.Errorf("%q is neither on nor off", value)
	}
	return nil
}

func setLeaseNamespace(c *config, value string) error {
	if value != "" && len(validation.IsDNS1123Label(value)) > 0 {
		return fmt.Errorf("%q is no name of a namespace", value)
	}
	c.leaseNamespace = value
	return nil
}

func setLeaseDuration(c *config, value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d < 3*time.Second || d > 2*time.Minute || d%time.Second != 0 {
		return fmt.Errorf("%q is not a number of whole seconds from 3s to 2m", value)
	}
	c.leaseDuration = d
	return nil
}

func setQPS(c *config, value string) error {
	qps, err := strconv.ParseFloat(value, 32)
	if err != nil || qps < 0 || math.IsNaN(qps) || math.IsInf(qps, 0) {
		return fmt.Errorf("%q is not a number of requests a second, 0 or more", value)
	}
	c.kubeAPIQPS = qps
	return nil
}

func setLogFormat(c *config, value string) error {
	if value != "" && value != "json" && value != "text" {
		return fmt.Errorf("%q is neither json nor text", value)
	}
	c.logFormat = value
	return nil
}

func setLogLevel(c *config, value string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[strings.ToLower(value)]
	if !ok {
		return fmt.Errorf("%q is none of debug, info, warn, error", value)
	}
	c.logLevel = level
	return nil
}
