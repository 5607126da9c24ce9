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
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/controller/webhook"
)

// config is the configuration of the controller.
type config struct {
	help, version bool
	// uninstall selects the subcommand. all extends it from the controller of the database to all controllers.
	uninstall, all bool

	kubeconfig     string // a list of files, like KUBECONFIG; empty means in-cluster
	databaseURL    string
	readerRoles    []string // database roles that may read the views
	namespaces     []string // empty means all
	class          string
	leaderElect    bool
	leaseNamespace string // empty means that of the Pod, else "default"
	leaseDuration  time.Duration
	healthAddress  string // empty means none
	metricsAddress string // empty means none
	logFormat      string // json or text; empty means text on a terminal, else json
	logLevel       slog.Level
	kubeAPIQPS     float64 // 0 means no limit
	maxPods        int
	startGrace     time.Duration
	// historyRetention is how long history is kept. 0 means for ever.
	historyRetention time.Duration
	adoptCluster     bool
	acceptRestored   bool
	webhookDeny      string // CIDRs, separated by commas
	logLimit         int64  // bytes; 0 means that no logs are stored
}

// setting is a flag and its environment variable.
type setting struct {
	flag         string
	placeholder  string // of the value, for --help; empty means that the flag is boolean
	env          string
	defaultValue string
	help         string
	// forUninstall says that the subcommand uninstall has the flag too.
	forUninstall bool
	set          func(*config, string) error
}

// settings are all flags, in the order of --help.
var settings = []setting{
	{
		flag: "database-url", placeholder: "URL", env: "DATABASE_URL", forUninstall: true, set: setDatabaseURL,
		help: "the PostgreSQL database of this controller: postgres://user:password@host/database?sslmode=…\n" +
			"Required. Prefer the variable: other users of a machine can read its command lines. If the URL has no\n" +
			"password, that of PGPASSWORD is used",
	},
	{
		flag: "reader-roles", placeholder: "LIST", env: "KONTROLER_READER_ROLES", set: setReaderRoles,
		help: "database roles that may read the views of schema kontroler_v1, separated by commas. They must exist.\n" +
			"A role that is no longer named keeps its privileges",
	},
	{
		flag: "kubeconfig", placeholder: "FILE", env: "KONTROLER_KUBECONFIG", forUninstall: true,
		set:  text(func(c *config) *string { return &c.kubeconfig }),
		help: "how to reach the cluster (default KUBECONFIG, else the service account of this Pod)",
	},
	{
		flag: "namespaces", placeholder: "LIST", env: "KONTROLER_NAMESPACES", forUninstall: true, set: setNamespaces,
		help: "the namespaces to work in, separated by commas (default all)",
	},
	{
		flag: "controller-class", placeholder: "CLASS", env: "KONTROLER_CONTROLLER_CLASS", set: setClass,
		help: "the class of the DAGs to claim, which state it in spec.controllerClass (default the empty class)",
	},
	{
		flag: "max-pods", placeholder: "N", env: "KONTROLER_MAX_PODS", defaultValue: "2000", set: setMaxPods,
		help: "maximum number of live Pods; further tasks wait, with reason Throttled",
	},
	{
		flag: "start-grace", placeholder: "DURATION", env: "KONTROLER_START_GRACE", defaultValue: "5m", set: setStartGrace,
		help: "how long a Pod may fail to start, for example without its image, before its attempt fails: 1s to 24h",
	},
	{
		flag: "history-retention", placeholder: "DURATION", env: "KONTROLER_HISTORY_RETENTION", defaultValue: "2160h",
		set:  setHistoryRetention,
		help: "how long rows and logs stay in PostgreSQL after the end of a run: at least 1h; 0 means for ever",
	},
	{
		flag: "webhook-deny", placeholder: "CIDRS", env: "KONTROLER_WEBHOOK_DENY", set: setWebhookDeny,
		help: "networks that webhooks may not reach, separated by commas. Loopback, link-local and metadata\n" +
			"addresses are always refused",
	},
	{
		flag: "log-limit", placeholder: "BYTES", env: "KONTROLER_LOG_LIMIT", defaultValue: "8Mi", set: setLogLimit,
		help: "how much of a task's log is stored, half from its beginning and half from its end: 64Ki to 64Mi",
	},
	{
		flag: "log-archive", placeholder: "on|off", env: "KONTROLER_LOG_ARCHIVE", defaultValue: "on", set: setLogArchive,
		help: "store the logs of tasks; off means that they are lost with their Pods",
	},
	{
		flag: "leader-elect", env: "KONTROLER_LEADER_ELECT", defaultValue: "true",
		set: boolean(func(c *config) *bool { return &c.leaderElect }),
		help: "wait until no other process of this controller leads; false means to take the Lease immediately,\n" +
			"whoever holds it",
	},
	{
		flag: "lease-namespace", placeholder: "NAMESPACE", env: "KONTROLER_LEASE_NAMESPACE", forUninstall: true,
		set:  setLeaseNamespace,
		help: "the namespace of the Lease (default the namespace of this Pod, else \"default\"; uninstall looks in all)",
	},
	{
		flag: "lease-duration", placeholder: "DURATION", env: "KONTROLER_LEASE_DURATION", defaultValue: "15s",
		set:  setLeaseDuration,
		help: "how long a standby waits for a leader that does not renew its Lease: whole seconds, 3s to 2m",
	},
	{
		flag: "health-address", placeholder: "[HOST]:PORT", env: "KONTROLER_HEALTH_ADDRESS", defaultValue: ":8081",
		set:  address(func(c *config) *string { return &c.healthAddress }),
		help: "the address of /healthz and /readyz; empty means none",
	},
	{
		flag: "metrics-address", placeholder: "[HOST]:PORT", env: "KONTROLER_METRICS_ADDRESS", defaultValue: ":8080",
		set:  address(func(c *config) *string { return &c.metricsAddress }),
		help: "the address of /metrics, for Prometheus; it may be the health address; empty means none",
	},
	{
		flag: "kube-api-qps", placeholder: "N", env: "KONTROLER_KUBE_API_QPS", defaultValue: "0", set: setQPS,
		help: "maximum number of requests per second to the API server; 0 means no limit",
	},
	{
		flag: "log-format", placeholder: "json|text", env: "KONTROLER_LOG_FORMAT", forUninstall: true, set: setLogFormat,
		help: "the format of the log (default text on a terminal, else json)",
	},
	{
		flag: "log-level", placeholder: "LEVEL", env: "KONTROLER_LOG_LEVEL", defaultValue: "info", forUninstall: true,
		set:  setLogLevel,
		help: "debug, info, warn or error",
	},
	{
		flag: "adopt-cluster", env: "KONTROLER_ADOPT_CLUSTER", defaultValue: "false",
		set:  boolean(func(c *config) *bool { return &c.adoptCluster }),
		help: "take over a database that belongs to another cluster, which no controller serves any more",
	},
	{
		flag: "accept-restored-database", env: "KONTROLER_ACCEPT_RESTORED_DATABASE", defaultValue: "false",
		set:  boolean(func(c *config) *bool { return &c.acceptRestored }),
		help: "continue with a database that was restored from a backup and lacks what happened since",
	},
}

const usageHead = `Kontroler's controller: runs DAGs of containers on Kubernetes.

  controller [flags]                    runs the controller
  controller uninstall [flags] [--all]  removes the finalizer from all Pods of the controller whose database is given,
                                        or of all controllers, so that the Pods can be deleted. Stop the controller
                                        first. It has the flags marked with *
  controller --version

Every flag has an environment variable, which stands beside it. The flag wins.

`

// usage returns the text of --help.
func usage() string {
	var b strings.Builder
	b.WriteString(usageHead)
	for _, s := range settings {
		mark := " "
		if s.forUninstall {
			mark = "*"
		}
		name := "--" + s.flag
		if s.placeholder != "" {
			name += " " + s.placeholder
		}
		fmt.Fprintf(&b, "%s %-34s %s\n", mark, name, s.env)
		help := s.help
		if s.defaultValue != "" {
			help += " (default " + s.defaultValue + ")"
		}
		fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(help, "\n", "\n      "))
	}
	return b.String()
}

// faults are the errors of a configuration, one on each line.
type faults []error

func (f faults) Error() string {
	lines := make([]string, len(f))
	for i, err := range f {
		lines[i] = "controller: " + err.Error()
	}
	return strings.Join(lines, "\n")
}

// parseConfig reads flags and environment. Its error names every fault.
func parseConfig(args []string, env func(string) (string, bool)) (config, error) {
	var c config
	if len(args) > 0 && args[0] == "uninstall" {
		c.uninstall, args = true, args[1:]
	}
	given, invalid := parseFlags(&c, args)
	if c.help || c.version {
		return c, nil
	}
	for _, s := range settings {
		if c.uninstall && !s.forUninstall {
			continue
		}
		source, value := "--"+s.flag, s.defaultValue
		if fromEnv, ok := env(s.env); ok {
			// An empty variable counts as unset, except where the empty text is a value.
			if fromEnv != "" || s.placeholder != "" && s.defaultValue == "" || strings.HasSuffix(s.flag, "-address") {
				source, value = s.env, fromEnv
			}
		}
		if fromFlag, ok := given[s.flag]; ok {
			source, value = "--"+s.flag, fromFlag
		}
		if err := s.set(&c, value); err != nil {
			invalid = append(invalid, fmt.Errorf("%s: %w", source, err))
		}
	}
	if c.kubeconfig == "" {
		c.kubeconfig, _ = env("KUBECONFIG")
	}
	isReported := slices.ContainsFunc(invalid, func(err error) bool { return errors.Is(err, errDatabaseURL) })
	if c.databaseURL == "" && !c.all && !isReported {
		missing := "no database. Set DATABASE_URL (or --database-url) to postgres://user:password@host/database"
		if c.uninstall {
			missing += ", or use --all"
		}
		invalid = append(invalid, errors.New(missing))
	}
	if len(invalid) > 0 {
		return config{}, invalid
	}
	return c, nil
}

// parseFlags returns the texts of the flags that were given, and a fault for each argument that is not a flag.
func parseFlags(c *config, args []string) (given map[string]string, invalid faults) {
	given = map[string]string{}
	set := flag.NewFlagSet("controller", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&c.version, "version", false, "")
	if c.uninstall {
		set.BoolVar(&c.all, "all", false, "")
	}
	for _, s := range settings {
		if !c.uninstall || s.forUninstall {
			set.Var(&rawFlag{given: given, name: s.flag, isBool: s.placeholder == ""}, s.flag, "")
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
			invalid = append(invalid, err)
			if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				args = args[1:] // most likely the value of the unknown flag
			}
		case len(args) == 0:
			return given, invalid
		default:
			invalid = append(invalid, fmt.Errorf("unexpected argument %q", args[0]))
			args = args[1:]
		}
	}
}

// rawFlag keeps the text of a flag. parseConfig parses it, so that it can report every fault.
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
			return fmt.Errorf("%q is not an address. Write host:port, or :port for all interfaces", value)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return fmt.Errorf("%q has no port between 0 and 65535", value)
		}
		*field(c) = value
		return nil
	}
}

// errDatabaseURL does not quote the URL, which may contain a password.
var errDatabaseURL = errors.New("not a URL that begins with postgres://. Write special characters in a password as %XX")

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
	var invalid []string
	for namespace := range strings.SplitSeq(value, ",") {
		namespace = strings.TrimSpace(namespace)
		switch {
		case len(validation.IsDNS1123Label(namespace)) > 0:
			invalid = append(invalid, strconv.Quote(namespace))
		case !slices.Contains(c.namespaces, namespace):
			c.namespaces = append(c.namespaces, namespace)
		}
	}
	if len(invalid) > 0 {
		return fmt.Errorf("not a name of a namespace: %s", strings.Join(invalid, ", "))
	}
	return nil
}

func setReaderRoles(c *config, value string) error {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	var invalid []string
	for role := range strings.SplitSeq(value, ",") {
		role = strings.TrimSpace(role)
		// PostgreSQL takes the name public for all roles, quoted or not, and none for no role.
		isReserved := role == "public" || role == "none"
		isName := role != "" && len(role) <= 63 && utf8.ValidString(role) && !strings.ContainsFunc(role, unicode.IsControl)
		switch {
		case isReserved || !isName:
			invalid = append(invalid, strconv.Quote(role))
		case !slices.Contains(c.readerRoles, role):
			c.readerRoles = append(c.readerRoles, role)
		}
	}
	if len(invalid) > 0 {
		return fmt.Errorf("not a name of a database role: %s", strings.Join(invalid, ", "))
	}
	return nil
}

func setClass(c *config, value string) error {
	if n := len([]rune(value)); n > 63 {
		return fmt.Errorf("a class has at most 63 characters, not %d", n)
	}
	c.class = value
	return nil
}

func setMaxPods(c *config, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > math.MaxInt32 {
		return fmt.Errorf("%q is not a whole number from 1 up", value)
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
		return fmt.Errorf("%q is neither 0 nor a duration of at least 1h (for 90 days write 2160h)", value)
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

// setLogArchive must be called after setLogLimit.
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
		return fmt.Errorf("%q is not a name of a namespace", value)
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
		return fmt.Errorf("%q is not a number from 0 up", value)
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
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[strings.ToLower(value)]
	if !ok {
		return fmt.Errorf("%q is not debug, info, warn or error", value)
	}
	c.logLevel = level
	return nil
}
