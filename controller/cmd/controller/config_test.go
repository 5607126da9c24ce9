package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/process"
)

func defaults(change func(*config)) config {
	c := config{
		databaseURL: "postgres://db/k", leaderElect: true, leaseDuration: 15 * time.Second, healthAddress: ":8081",
		metricsAddress: ":8080", logLevel: slog.LevelInfo, maxPods: 2000, startGrace: 5 * time.Minute,
		historyRetention: 90 * 24 * time.Hour, logLimit: 8 << 20,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func TestParseConfig(t *testing.T) {
	database := map[string]string{"DATABASE_URL": "postgres://db/k"}
	tests := map[string]struct {
		args []string
		env  map[string]string
		want config
	}{
		"without flags the defaults hold": {env: database, want: defaults(nil)},
		"every flag is read": {
			args: []string{
				"--database-url=postgresql://u:p@h/d",
				"--kubeconfig",
				"/k",
				"--namespaces=b, a,b",
				`--reader-roles=reporting, the "Auditors",reporting`,
				"--controller-class=gpu",
				"--leader-elect=false",
				"--lease-namespace=ops",
				"--lease-duration=1m",
				"--health-address=",
				"--metrics-address=127.0.0.1:0",
				"--log-format=json",
				"--log-level=DEBUG",
				"--kube-api-qps=0.5",
				"--max-pods=1",
				"--start-grace=1s",
				"--history-retention=0",
				"--webhook-deny=10.0.0.0/8,fd00::/8",
				"--log-limit=64Ki",
				"--log-archive=on",
				"--adopt-cluster",
				"--accept-restored-database",
			},
			want: config{
				databaseURL: "postgresql://u:p@h/d", kubeconfig: "/k", namespaces: []string{
					"b", "a",
				}, class: "gpu", leaseNamespace: "ops", readerRoles: []string{"reporting", `the "Auditors"`},
				leaseDuration: time.Minute, metricsAddress: "127.0.0.1:0",
				logFormat: "json", logLevel: slog.LevelDebug, kubeAPIQPS: 0.5,
				maxPods: 1, startGrace: time.Second, webhookDeny: "10.0.0.0/8,fd00::/8", logLimit: 64 << 10,
				adoptCluster: true, acceptRestored: true,
			},
		},
		"every variable is read": {
			env: map[string]string{
				"DATABASE_URL": "host=/run dbname=k", "KONTROLER_KUBECONFIG": "/k", "KONTROLER_NAMESPACES": "a",
				"KONTROLER_CONTROLLER_CLASS": "gpu", "KONTROLER_READER_ROLES": "reporting",
				"KONTROLER_LEADER_ELECT": "false", "KONTROLER_LEASE_NAMESPACE": "ops",
				"KONTROLER_LEASE_DURATION": "3s", "KONTROLER_HEALTH_ADDRESS": "",
				"KONTROLER_METRICS_ADDRESS": "[::1]:1", "KONTROLER_LOG_FORMAT": "text",
				"KONTROLER_LOG_LEVEL": "warn", "KONTROLER_KUBE_API_QPS": "7",
				"KONTROLER_MAX_PODS": "9", "KONTROLER_LOG_LIMIT": "1000000", "KONTROLER_LOG_ARCHIVE": "off",
				"KONTROLER_START_GRACE": "1s", "KONTROLER_HISTORY_RETENTION": "1h",
				"KONTROLER_WEBHOOK_DENY": "192.0.2.1", "KONTROLER_ADOPT_CLUSTER": "true",
				"KONTROLER_ACCEPT_RESTORED_DATABASE": "1",
			},
			want: config{
				databaseURL: "host=/run dbname=k", kubeconfig: "/k", namespaces: []string{"a"},
				class: "gpu", leaseNamespace: "ops", readerRoles: []string{"reporting"},
				leaseDuration: 3 * time.Second, metricsAddress: "[::1]:1",
				logFormat: "text", logLevel: slog.LevelWarn, kubeAPIQPS: 7,
				maxPods: 9, startGrace: time.Second, historyRetention: time.Hour, webhookDeny: "192.0.2.1",
				adoptCluster: true, acceptRestored: true,
			},
		},
		"a flag wins over its variable, even an invalid one": {
			args: []string{"--max-pods=5"},
			env:  map[string]string{"DATABASE_URL": "postgres://db/k", "KONTROLER_MAX_PODS": "many"},
			want: defaults(func(c *config) { c.maxPods = 5 }),
		},
		"empty variables count as unset": {
			env: map[string]string{
				"DATABASE_URL":             "postgres://db/k",
				"KONTROLER_MAX_PODS":       "",
				"KONTROLER_LEADER_ELECT":   "",
				"KONTROLER_LOG_LEVEL":      "",
				"KONTROLER_NAMESPACES":     "",
				"KONTROLER_LOG_FORMAT":     "",
				"KONTROLER_LEASE_DURATION": "",
			},
			want: defaults(nil),
		},
		"KUBECONFIG is used without --kubeconfig": {
			env:  map[string]string{"DATABASE_URL": "postgres://db/k", "KUBECONFIG": "/a:/b"},
			want: defaults(func(c *config) { c.kubeconfig = "/a:/b" }),
		},
		"--help wins over faults":      {args: []string{"--max-pods=x", "-h"}, want: config{help: true}},
		"--version needs nothing else": {args: []string{"--version"}, want: config{version: true}},
		"uninstall has a database": {
			args: []string{"uninstall", "--namespaces=a"}, env: database,
			want: config{uninstall: true, databaseURL: "postgres://db/k", namespaces: []string{"a"}},
		},
		"uninstall --all needs no database": {
			args: []string{"uninstall", "--all"}, want: config{uninstall: true, all: true},
		},
		"uninstall ignores variables of the controller": {
			args: []string{"uninstall", "--all"}, env: map[string]string{"KONTROLER_MAX_PODS": "x"},
			want: config{uninstall: true, all: true},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseConfig(test.args, lookup(test.env))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(config{})); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseConfigReportsEveryFault(t *testing.T) {
	tests := map[string]struct {
		args []string
		env  map[string]string
		want []string
	}{
		"a database is required": {
			want: []string{
				"no database. Set DATABASE_URL (or --database-url) to postgres://user:password@host/database",
			},
		},
		"every fault is reported": {
			args: []string{
				"--nonsense",
				"x",
				"--max-pods=0",
				"--start-grace=0s",
				"--history-retention=90d",
				"--log-limit=1Ki",
				"--log-archive=false",
				"--kube-api-qps=-1",
				"--health-address=8081",
				"--metrics-address=:http",
				"stray",
				"--lease-duration=1500ms",
				"--webhook-deny=10.0.0.0/33, 10.0.0.0/8,nets",
				"--namespaces=a,B,c_d",
				"--reader-roles=public,,none,ok,a\nb," + strings.Repeat("r", 64),
				"--leader-elect=maybe",
				"--lease-namespace=N",
				"--log-format=xml",
			},
			env: map[string]string{"KONTROLER_LOG_LEVEL": "loud", "KONTROLER_CONTROLLER_CLASS": strings.Repeat("ä", 64),
				"DATABASE_URL": "mysql://root:geheim@h/d"},
			want: []string{
				"flag provided but not defined: -nonsense",
				`unexpected argument "stray"`,
				errDatabaseURLAt("DATABASE_URL"),
				`--reader-roles: not a name of a database role: "public", "", "none", "a\nb", "` +
					strings.Repeat("r", 64) + `"`,
				`--namespaces: not a name of a namespace: "B", "c_d"`,
				"KONTROLER_CONTROLLER_CLASS: a class has at most 63 characters, not 64",
				`--max-pods: "0" is not a whole number from 1 up`,
				`--start-grace: "0s" is not a duration from 1s to 24h`,
				`--history-retention: "90d" is neither 0 nor a duration of at least 1h (for 90 days write 2160h)`,
				`--webhook-deny: not a network such as 10.0.0.0/8 or fd00::/8: "10.0.0.0/33", "nets"`,
				`--log-limit: "1Ki" is not a number of bytes from 64Ki to 64Mi`,
				`--log-archive: "false" is neither on nor off`,
				`--leader-elect: "maybe" is neither true nor false`,
				`--lease-namespace: "N" is not a name of a namespace`,
				`--lease-duration: "1500ms" is not a number of whole seconds from 3s to 2m`,
				`--health-address: "8081" is not an address. Write host:port, or :port for all interfaces`,
				`--metrics-address: ":http" has no port between 0 and 65535`,
				`--kube-api-qps: "-1" is not a number from 0 up`,
				`--log-format: "xml" is neither json nor text`,
				`KONTROLER_LOG_LEVEL: "loud" is not debug, info, warn or error`,
			},
		},
		"an invalid URL is not quoted": {
			env:  map[string]string{"DATABASE_URL": "postgres://u:ge%heim@h/d"},
			want: []string{errDatabaseURLAt("DATABASE_URL")},
		},
		"uninstall requires a database or --all": {
			args: []string{"uninstall"},
			want: []string{
				"no database. Set DATABASE_URL (or --database-url) to postgres://user:password@host/database, " +
					"or use --all",
			},
		},
		"uninstall does not have the flags of the controller": {
			args: []string{"uninstall", "--all", "--max-pods=1"},
			want: []string{"flag provided but not defined: -max-pods"},
		},
		"a flag needs its value": {
			args: []string{"--database-url"},
			want: []string{
				"flag needs an argument: -database-url",
				"no database. Set DATABASE_URL (or --database-url) to postgres://user:password@host/database",
			},
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
		if len(line) > 121 {
			t.Errorf("%d characters: %s", len(line)-1, line)
		}
	}
	for _, word := range []string{"uninstall", "--all", "--version"} {
		if !strings.Contains(text, word) {
			t.Errorf("%s is not in --help", word)
		}
	}
}

func errDatabaseURLAt(source string) string { return source + ": " + process.ErrDatabaseURL.Error() }

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}
