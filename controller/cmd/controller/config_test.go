package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func defaults(change func(*config)) config {
	c := config{
		databaseURL: "postgres://db/k", leaderElect: true, leaseDuration: 15 * time.Second, healthAddress: ":8081",
		metricsAddress: ":8080", logLevel: slog.LevelInfo, maxPods: 2000, startGrace: 5 * time.Minute, historyRetention: 90 * 24 * time.Hour,
		logLimit: 8 << 20,
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
		"the defaults": {env: database, want: defaults(nil)},
		"every flag": {
			args: []string{"--database-url=postgresql://u:p@h/d", "--kubeconfig", "/k", "--namespaces=b, a,b", "--controller-class=gpu",
				"--leader-elect=false", "--lease-namespace=ops", "--lease-duration=1m", "--health-address=", "--metrics-address=127.0.0.1:0",
				"--log-format=json", "--log-level=DEBUG", "--kube-api-qps=0.5", "--max-pods=1", "--start-grace=1s", "--history-retention=0", "--webhook-deny=10.0.0.0/8,fd00::/8", "--log-limit=64Ki", "--log-archive=on", "--adopt-cluster", "--accept-restored-database"},
			want: config{
				databaseURL: "postgresql://u:p@h/d", kubeconfig: "/k", namespaces: []string{"b", "a"}, class: "gpu", leaseNamespace: "ops",
				leaseDuration: time.Minute, metricsAddress: "127.0.0.1:0", logFormat: "json", logLevel: slog.LevelDebug, kubeAPIQPS: 0.5,
				maxPods: 1, startGrace: time.Second, webhookDeny: "10.0.0.0/8,fd00::/8", logLimit: 64 << 10, adoptCluster: true, acceptRestored: true,
			},
		},
		"every variable": {
			env: map[string]string{
				"DATABASE_URL": "host=/run dbname=k", "KONTROLER_KUBECONFIG": "/k", "KONTROLER_NAMESPACES": "a", "KONTROLER_CONTROLLER_CLASS": "gpu",
				"KONTROLER_LEADER_ELECT": "false", "KONTROLER_LEASE_NAMESPACE": "ops", "KONTROLER_LEASE_DURATION": "3s", "KONTROLER_HEALTH_ADDRESS": "",
				"KONTROLER_METRICS_ADDRESS": "[::1]:1", "KONTROLER_LOG_FORMAT": "text", "KONTROLER_LOG_LEVEL": "warn", "KONTROLER_KUBE_API_QPS": "7",
				"KONTROLER_MAX_PODS": "9", "KONTROLER_LOG_LIMIT": "1000000", "KONTROLER_LOG_ARCHIVE": "off", "KONTROLER_START_GRACE": "1s", "KONTROLER_HISTORY_RETENTION": "1h", "KONTROLER_WEBHOOK_DENY": "192.0.2.1", "KONTROLER_ADOPT_CLUSTER": "true", "KONTROLER_ACCEPT_RESTORED_DATABASE": "1",
			},
			want: config{
				databaseURL: "host=/run dbname=k", kubeconfig: "/k", namespaces: []string{"a"}, class: "gpu", leaseNamespace: "ops",
				leaseDuration: 3 * time.Second, metricsAddress: "[::1]:1", logFormat: "text", logLevel: slog.LevelWarn, kubeAPIQPS: 7,
				maxPods: 9, startGrace: time.Second, historyRetention: time.Hour, webhookDeny: "192.0.2.1", adoptCluster: true, acceptRestored: true,
			},
		},
		"a flag wins over its variable, also a bad one": {
			args: []string{"--max-pods=5"},
			env:  map[string]string{"DATABASE_URL": "postgres://db/k", "KONTROLER_MAX_PODS": "many"},
			want: defaults(func(c *config) { c.maxPods = 5 }),
		},
		"variables set to nothing are not set": {
			env: map[string]string{"DATABASE_URL": "postgres://db/k", "KONTROLER_MAX_PODS": "", "KONTROLER_LEADER_ELECT": "", "KONTROLER_LOG_LEVEL": "",
				"KONTROLER_NAMESPACES": "", "KONTROLER_LOG_FORMAT": "", "KONTROLER_LEASE_DURATION": ""},
			want: defaults(nil),
		},
		"KUBECONFIG comes last": {
			env:  map[string]string{"DATABASE_URL": "postgres://db/k", "KUBECONFIG": "/a:/b"},
			want: defaults(func(c *config) { c.kubeconfig = "/a:/b" }),
		},
		"help":                    {args: []string{"--max-pods=x", "-h"}, want: config{help: true}},
		"version":                 {args: []string{"--version"}, want: config{version: true}},
		"uninstall":               {args: []string{"uninstall", "--namespaces=a"}, env: database, want: config{uninstall: true, databaseURL: "postgres://db/k", namespaces: []string{"a"}}},
		"uninstall of all":        {args: []string{"uninstall", "--all"}, want: config{uninstall: true, all: true}},
		"uninstall needs no more": {args: []string{"uninstall", "--all"}, env: map[string]string{"KONTROLER_MAX_PODS": "x"}, want: config{uninstall: true, all: true}},
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

func TestParseConfigTellsEveryFault(t *testing.T) {
	tests := map[string]struct {
		args []string
		env  map[string]string
		want []string
	}{
		"nothing given": {want: []string{"no database: set DATABASE_URL (or --database-url) to postgres://user:password@host/database"}},
		"everything wrong at once": {
			args: []string{"--nonsense", "x", "--max-pods=0", "--start-grace=0s", "--history-retention=90d", "--log-limit=1Ki", "--log-archive=false", "--kube-api-qps=-1", "--health-address=8081", "--metrics-address=:http", "stray",
				"--lease-duration=1500ms", "--webhook-deny=10.0.0.0/33, 10.0.0.0/8,nets", "--namespaces=a,B,c_d", "--leader-elect=maybe", "--lease-namespace=N", "--log-format=xml"},
			env: map[string]string{"KONTROLER_LOG_LEVEL": "loud", "KONTROLER_CONTROLLER_CLASS": strings.Repeat("ä", 64),
				"DATABASE_URL": "mysql://root:geheim@h/d"},
			want: []string{
				"flag provided but not defined: -nonsense",
				`unexpected argument "stray"`,
				errDatabaseURLAt("DATABASE_URL"),
				`--namespaces: no name of a namespace: "B", "c_d"`,
				"KONTROLER_CONTROLLER_CLASS: a class has 63 characters at most, this one 64",
				`--max-pods: "0" is not a number from 1 on`,
				`--start-grace: "0s" is not a duration from 1s to 24h`,
				`--history-retention: "90d" is neither a duration from 1h on (90 days are 2160h) nor 0`,
				`--webhook-deny: not a network such as 10.0.0.0/8 or fd00::/8: "10.0.0.0/33", "nets"`,
				`--log-limit: "1Ki" is not a number of bytes from 64Ki to 64Mi`,
				`--log-archive: "false" is neither on nor off`,
				`--leader-elect: "maybe" is neither true nor false`,
				`--lease-namespace: "N" is no name of a namespace`,
				`--lease-duration: "1500ms" is not a number of whole seconds from 3s to 2m`,
				`--health-address: "8081" is no address: write host:port, or :port for every interface`,
				`--metrics-address: ":http" has no port between 0 and 65535`,
				`--kube-api-qps: "-1" is not a number of requests a second, 0 or more`,
				`--log-format: "xml" is neither json nor text`,
				`KONTROLER_LOG_LEVEL: "loud" is none of debug, info, warn, error`,
			},
		},
		"a URL that does not parse": {
			env:  map[string]string{"DATABASE_URL": "postgres://u:ge%heim@h/d"},
			want: []string{errDatabaseURLAt("DATABASE_URL")},
		},
		"uninstall of which controller": {
			args: []string{"uninstall"},
			want: []string{"no database: set DATABASE_URL (or --database-url) to postgres://user:password@host/database, or give --all"},
		},
		"a flag that uninstall has not": {
			args: []string{"uninstall", "--all", "--max-pods=1"},
			want: []string{"flag provided but not defined: -max-pods"},
		},
		"a flag without its value": {
			args: []string{"--database-url"},
			want: []string{"flag needs an argument: -database-url", "no database: set DATABASE_URL (or --database-url) to postgres://user:password@host/database"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parseConfig(test.args, lookup(test.env))
			if err == nil {
				t.Fatal("accepted")
			}
			want := "controller: " + strings.Join(test.want, "\ncontroller: ")
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), "heim") {
				t.Error("a password is quoted")
			}
		})
	}
}

// TestUsage: every flag and every variable is in --help, and no line is wider than a wide terminal.
func TestUsage(t *testing.T) {
	text := usage()
	for _, s := range settings() {
		if !strings.Contains(text, "--"+s.flag) || !strings.Contains(text, s.env) || s.env == "" {
			t.Errorf("--%s or its variable %q is not in --help", s.flag, s.env)
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

func errDatabaseURLAt(source string) string { return source + ": " + errDatabaseURL.Error() }

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}
