package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/apis/process"
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

// forUninstall marks the flags that the subcommand uninstall has too.
const forUninstall = "*"

// settings are all flags, in the order of --help.
var settings = []process.Setting[config]{
	{
		Flag: "database-url", Placeholder: "URL", Env: "DATABASE_URL", Mark: forUninstall,
		Set: process.DatabaseURL(func(c *config) *string { return &c.databaseURL }),
		Help: "the PostgreSQL database of this controller: postgres://user:password@host/database?sslmode=…\n" +
			"Required. Prefer the variable: other users of a machine can read its command lines. If the URL has no\n" +
			"password, that of PGPASSWORD is used",
	},
	{
		Flag: "reader-roles", Placeholder: "LIST", Env: "KONTROLER_READER_ROLES", Set: setReaderRoles,
		Help: "database roles that may read the views of schema kontroler_v1, separated by commas. They must exist.\n" +
			"A role that is no longer named keeps its privileges",
	},
	{
		Flag: "kubeconfig", Placeholder: "FILE", Env: "KONTROLER_KUBECONFIG", Mark: forUninstall,
		Set:  process.Text(func(c *config) *string { return &c.kubeconfig }),
		Help: "how to reach the cluster (default KUBECONFIG, else the service account of this Pod)",
	},
	{
		Flag: "namespaces", Placeholder: "LIST", Env: "KONTROLER_NAMESPACES", Mark: forUninstall,
		Set:  process.Namespaces(func(c *config) *[]string { return &c.namespaces }),
		Help: "the namespaces to work in, separated by commas (default all)",
	},
	{
		Flag: "controller-class", Placeholder: "CLASS", Env: "KONTROLER_CONTROLLER_CLASS",
		Set:  process.Class(func(c *config) *string { return &c.class }),
		Help: "the class of the DAGs to claim, which state it in spec.controllerClass (default the empty class)",
	},
	{
		Flag: "max-pods", Placeholder: "N", Env: "KONTROLER_MAX_PODS", Default: "2000", Set: setMaxPods,
		Help: "maximum number of live Pods; further tasks wait, with reason Throttled",
	},
	{
		Flag: "start-grace", Placeholder: "DURATION", Env: "KONTROLER_START_GRACE", Default: "5m",
		Set: process.Duration(func(c *config) *time.Duration { return &c.startGrace },
			func(d time.Duration) bool { return d >= time.Second && d <= 24*time.Hour },
			"not a duration from 1s to 24h"),
		Help: "how long a Pod may fail to start, for example without its image, before its attempt fails: 1s to 24h",
	},
	{
		Flag: "history-retention", Placeholder: "DURATION", Env: "KONTROLER_HISTORY_RETENTION", Default: "2160h",
		Set: process.Duration(func(c *config) *time.Duration { return &c.historyRetention },
			func(d time.Duration) bool { return d == 0 || d >= time.Hour },
			"neither 0 nor a duration of at least 1h (for 90 days write 2160h)"),
		Help: "how long rows and logs stay in PostgreSQL after the end of a run: at least 1h; 0 means for ever",
	},
	{
		Flag: "webhook-deny", Placeholder: "CIDRS", Env: "KONTROLER_WEBHOOK_DENY", Set: setWebhookDeny,
		Help: "networks that webhooks may not reach, separated by commas. Loopback, link-local and metadata\n" +
			"addresses are always refused",
	},
	{
		Flag: "log-limit", Placeholder: "BYTES", Env: "KONTROLER_LOG_LIMIT", Default: "8Mi", Set: setLogLimit,
		Help: "how much of a task's log is stored, half from its beginning and half from its end: 64Ki to 64Mi",
	},
	{
		Flag: "log-archive", Placeholder: "on|off", Env: "KONTROLER_LOG_ARCHIVE", Default: "on", Set: setLogArchive,
		Help: "store the logs of tasks; off means that they are lost with their Pods",
	},
	{
		Flag: "leader-elect", Env: "KONTROLER_LEADER_ELECT", Default: "true",
		Set: process.Boolean(func(c *config) *bool { return &c.leaderElect }),
		Help: "wait until no other process of this controller leads; false means to take the Lease immediately,\n" +
			"whoever holds it",
	},
	{
		Flag: "lease-namespace", Placeholder: "NAMESPACE", Env: "KONTROLER_LEASE_NAMESPACE", Mark: forUninstall,
		Set: setLeaseNamespace,
		Help: "the namespace of the Lease (default the namespace of this Pod, else \"default\"; " +
			"uninstall looks in all)",
	},
	{
		Flag: "lease-duration", Placeholder: "DURATION", Env: "KONTROLER_LEASE_DURATION", Default: "15s",
		Set: process.Duration(func(c *config) *time.Duration { return &c.leaseDuration },
			func(d time.Duration) bool { return d >= 3*time.Second && d <= 2*time.Minute && d%time.Second == 0 },
			"not a number of whole seconds from 3s to 2m"),
		Help: "how long a standby waits for a leader that does not renew its Lease: whole seconds, 3s to 2m",
	},
	{
		Flag: "health-address", Placeholder: "[HOST]:PORT", Env: "KONTROLER_HEALTH_ADDRESS", Default: ":8081",
		Set:  process.Address(func(c *config) *string { return &c.healthAddress }),
		Help: "the address of /healthz and /readyz; empty means none",
	},
	{
		Flag: "metrics-address", Placeholder: "[HOST]:PORT", Env: "KONTROLER_METRICS_ADDRESS", Default: ":8080",
		Set:  process.Address(func(c *config) *string { return &c.metricsAddress }),
		Help: "the address of /metrics, for Prometheus; it may be the health address; empty means none",
	},
	{
		Flag: "kube-api-qps", Placeholder: "N", Env: "KONTROLER_KUBE_API_QPS", Default: "0", Set: setQPS,
		Help: "maximum number of requests per second to the API server; 0 means no limit",
	},
	{
		Flag: "log-format", Placeholder: "json|text", Env: "KONTROLER_LOG_FORMAT", Mark: forUninstall,
		Set:  process.LogFormat(func(c *config) *string { return &c.logFormat }),
		Help: "the format of the log (default text on a terminal, else json)",
	},
	{
		Flag: "log-level", Placeholder: "LEVEL", Env: "KONTROLER_LOG_LEVEL", Default: "info", Mark: forUninstall,
		Set:  process.LogLevel(func(c *config) *slog.Level { return &c.logLevel }),
		Help: "debug, info, warn or error",
	},
	{
		Flag: "adopt-cluster", Env: "KONTROLER_ADOPT_CLUSTER", Default: "false",
		Set:  process.Boolean(func(c *config) *bool { return &c.adoptCluster }),
		Help: "take over a database that belongs to another cluster, which no controller serves any more",
	},
	{
		Flag: "accept-restored-database", Env: "KONTROLER_ACCEPT_RESTORED_DATABASE", Default: "false",
		Set:  process.Boolean(func(c *config) *bool { return &c.acceptRestored }),
		Help: "continue with a database that was restored from a backup and lacks what happened since",
	},
}

const usageHead = `Kontroler's controller: runs DAGs of containers on Kubernetes.

  controller [flags]                    runs the controller
  controller uninstall [flags] [--all]  removes the finalizer from all Pods of the controller whose database is given,
                                        or of all controllers, so that the Pods can be deleted. Stop the controller
                                        first. It has the flags marked with *
  controller --version

Every flag has an environment variable, shown beside it. The flag takes precedence.

`

// usage returns the text of --help.
func usage() string { return usageHead + process.Usage(settings) }

// parseConfig reads flags and environment. Its error names every fault.
func parseConfig(args []string, env func(string) (string, bool)) (config, error) {
	var c config
	own, switches := settings, map[string]*bool{"version": &c.version}
	if len(args) > 0 && args[0] == "uninstall" {
		c.uninstall, args = true, args[1:]
		own = slices.DeleteFunc(slices.Clone(settings), func(s process.Setting[config]) bool {
			return s.Mark != forUninstall
		})
		switches["all"] = &c.all
	}
	given, faults := process.ParseArgs(own, switches, args)
	if c.help = given.Help; c.help || c.version {
		return c, nil
	}
	for _, operand := range given.Operands {
		faults = errors.Join(faults, process.Unexpected(operand))
	}
	faults = errors.Join(faults, process.Apply(&c, own, given.Values, env))
	if c.kubeconfig == "" {
		c.kubeconfig, _ = env("KUBECONFIG")
	}
	if c.databaseURL == "" && !c.all && !errors.Is(faults, process.ErrDatabaseURL) {
		missing := "no database. Set DATABASE_URL (or --database-url) to postgres://user:password@host/database"
		if c.uninstall {
			missing += ", or use --all"
		}
		faults = errors.Join(faults, errors.New(missing))
	}
	if faults != nil {
		return config{}, faults
	}
	return c, nil
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
		isName := role != "" && len(role) <= 63 && utf8.ValidString(role) &&
			!strings.ContainsFunc(role, unicode.IsControl)
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

func setMaxPods(c *config, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > math.MaxInt32 {
		return fmt.Errorf("%q is not a whole number from 1 up", value)
	}
	c.maxPods = n
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

func setQPS(c *config, value string) error {
	qps, err := strconv.ParseFloat(value, 32)
	if err != nil || qps < 0 || math.IsNaN(qps) || math.IsInf(qps, 0) {
		return fmt.Errorf("%q is not a number from 0 up", value)
	}
	c.kubeAPIQPS = qps
	return nil
}
