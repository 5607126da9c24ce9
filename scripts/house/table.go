package main

// module is the path of the root module.
const module = "kontroler"

// Limits of sizes. What exceeds them should be split.
const (
	maxColumns      = 120  // of a line
	tabColumns      = 4    // of a tab
	maxLines        = 80   // of a function, signature and braces included
	maxPackageLines = 3500 // of a package, without comments, blank lines and tests
	maxFields       = 12   // of a type
	maxMethods      = 24   // of a type
	// maxRecordMethods is how many methods a record may have, whose fields have no limit.
	maxRecordMethods = 2
)

// product are the folders that are shipped. The limits of packages and types apply to them.
var product = []string{"apis", "controller", "store", "httpapi"}

// large are types that may exceed the limits: the flags of a main, and lists of dependencies or metrics.
var large = []string{
	"controller/Config", "controller/metrics/Metrics", "controller/cmd/controller/config",
}

// top are the entries that may be at the top of the repository, except dotfiles.
var top = []string{
	"apis", "generated", "controller", "httpapi", "store", "web", "manifests", "scripts", "e2e",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE",
}

// requirements are the modules that the root go.mod may require directly.
var requirements = []string{
	"github.com/golang-jwt/jwt/v5",
	"github.com/google/go-cmp",
	"github.com/lib/pq",
	"github.com/prometheus/client_golang",
	"github.com/robfig/cron/v3",
	"golang.org/x/crypto",
	"k8s.io/api",
	"k8s.io/apimachinery",
	"k8s.io/client-go",
	"k8s.io/klog/v2",
	"k8s.io/utils",
	"sigs.k8s.io/yaml",
}

// place is a folder with everything below it that is not another place. may lists what its packages may import, in
// addition to the standard library and the place itself. An entry allows a package and those below it; with a final "!"
// it allows only the package. tests lists what tests may import in addition.
type place struct {
	path  string
	may   []string
	tests []string
}

// Groups of imports that several places share.
var (
	wire       = []string{module + "/apis/kontroler"}
	wireTypes  = []string{"k8s.io/api", "k8s.io/apimachinery/pkg/api/resource", "k8s.io/apimachinery/pkg/apis/meta/v1"}
	validation = []string{"k8s.io/apimachinery/pkg/util/validation", "k8s.io/apimachinery/pkg/api/validation"}
	client     = []string{"k8s.io/client-go", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/klog/v2", "k8s.io/utils"}
	prometheus = []string{"github.com/prometheus/client_golang"}
	yaml       = []string{"sigs.k8s.io/yaml"}
	everyTest  = []string{"github.com/google/go-cmp"}
	// belowController are the packages below controller. None of them imports controller.
	belowController = []string{module + "/controller"}
	ownDB           = []string{module + "/store/storetest", "github.com/lib/pq"}
)

// house is the table.
var house = []place{
	{path: "apis/kontroler/v1alpha1", may: all([]string{"k8s.io/api", "k8s.io/apimachinery"})},
	{
		path: "apis/dag",
		// strategicpatch merges the fields beside a taskRef as the API server and kubectl merge a Pod.
		may: all(wire, wireTypes, validation,
			[]string{"k8s.io/apimachinery/pkg/util/strategicpatch!", "github.com/robfig/cron/v3"}),
		tests: yaml,
	},
	// The flags, log and probes of all mains. It lies in apis because that is what every part may import.
	{path: "apis/process", may: all([]string{"k8s.io/klog/v2"}, client)},
	{path: "apis/fairness"}, // shared by both programs
	// What both programs ask of errors of the API server.
	{path: "apis/kubeerrors", may: []string{"k8s.io/apimachinery/pkg/api/errors"}},
	{path: "apis/clustertest", may: all(client, yaml)},
	{path: "apis/tlstest"},
	{path: "generated", may: all([]string{module + "/apis"}, client)},
	{path: "controller/engine", may: []string{module + "/apis", module + "/store/transition"}, tests: wireTypes},
	{
		path: "controller/schedule",
		may: all([]string{module + "/apis", module + "/generated", module + "/store!", module + "/controller/fault"},
			[]string{module + "/controller/kube", module + "/controller/names", module + "/controller/queue"},
			[]string{module + "/controller/text", "github.com/robfig/cron/v3"}, client),
		tests: ownDB,
	},
	{path: "controller/podlog", may: []string{module + "/apis/fairness"}},
	{path: "controller/names", tests: validation},
	{path: "controller/text"},
	{path: "controller/clock", may: []string{module + "/controller/fault"}},
	{path: "controller/metrics", may: all([]string{module + "/store!", module + "/store/transition"}, prometheus)},
	{
		path:  "controller/versions",
		may:   all([]string{module + "/apis", module + "/controller/text", module + "/store!"}, client),
		tests: ownDB,
	},
	{
		path: "controller/conditions",
		may: all([]string{module + "/controller/text", module + "/controller/queue", module + "/store!"},
			wire, client),
	},
	{path: "controller/kube", may: all([]string{module + "/apis/kubeerrors"}, wire, client)},
	{
		path: "controller/informer",
		may: all([]string{
			module + "/controller/informer/informertest", module + "/controller/kube", module + "/controller/wait",
		}, wire, client),
	},
	{
		path: "controller/informer/informertest",
		may:  all([]string{module + "/controller/informer", module + "/controller/wait"}, client),
	},
	{
		path: "controller/pod",
		may: all([]string{
			module + "/apis", module + "/controller/engine", module + "/controller/kube", module + "/controller/text",
		},
			wireTypes, validation, []string{"k8s.io/apimachinery/pkg/types"}),
		tests: yaml,
	},
	{
		path: "controller/podevents",
		may: all([]string{
			module + "/controller/engine", module + "/controller/fault", module + "/controller/kube",
			module + "/controller/names", module + "/controller/pod", module + "/controller/text",
			module + "/controller/wait", module + "/store!",
		}, client),
		tests: wire,
	},
	{path: "controller/queue", may: all([]string{
		module + "/apis/fairness",
		module + "/controller/engine", module + "/controller/wait", module + "/store!", module + "/store/transition",
	}, client)},
	{
		path: "controller/logs",
		may: all(
			[]string{
				module + "/apis/fairness",
				module + "/controller/engine",
				module + "/controller/fault",
				module + "/controller/pod",
				module + "/controller/podlog",
				module + "/controller/queue",
				module + "/controller/text",
				module + "/controller/wait",
				module + "/store!",
			},
			wire,
			client,
		),
		tests: all(ownDB, []string{module + "/store/view"}),
	},
	{
		path:  "controller/install",
		may:   all([]string{module + "/controller/kube", module + "/controller/wait"}, wire, client),
		tests: []string{module + "/apis/clustertest"},
	},
	{
		path: "controller/webhook",
		may: all([]string{module + "/controller/fault", module + "/controller/queue", module + "/controller/text",
			module + "/controller/wait", module + "/store!"}, wire, client),
	},
	{
		path: "controller/retention",
		may: all([]string{
			module + "/controller/fault", module + "/controller/informer", module + "/controller/kube",
			module + "/controller/pod", module + "/controller/queue", module + "/controller/wait",
			module + "/generated", module + "/store!",
		}, wire, client),
	},
	{
		path: "controller/existing",
		may: all([]string{
			module + "/controller/informer", module + "/controller/queue", module + "/generated",
		}, wire, client),
	},
	{path: "controller/fault"},
	{path: "controller/wait"},
	{
		path: "controller/leader",
		may: all([]string{module + "/controller/fault", module + "/controller/wait", module + "/store!"},
			wire, client),
		tests: []string{module + "/apis/clustertest"},
	},
	{
		path: "controller",
		may: all([]string{module + "/apis", module + "/generated", module + "/store!", module + "/store/transition"},
			belowController, client, prometheus),
		tests: all(ownDB, yaml, []string{module + "/apis/clustertest"}),
	},
	{
		path: "controller/cmd/controller",
		may: all([]string{module + "/apis/process", module + "/controller", module + "/generated", module + "/store!"},
			client, prometheus),
		tests: all(ownDB, wire),
	},
	{path: "store/transition"}, // shared by controller/engine and store
	{path: "store/internal/postgres", may: []string{"github.com/lib/pq"}, tests: ownDB},
	{
		path:  "store/migrations",
		may:   []string{module + "/store/internal/postgres", "github.com/lib/pq"},
		tests: ownDB,
	},
	{
		path:  "store/accounts",
		may:   []string{module + "/store/internal/postgres", module + "/store/migrations", "github.com/lib/pq"},
		tests: all(ownDB, []string{module + "/store!"}),
	},
	{
		path: "store",
		may: []string{
			module + "/store/internal/postgres", module + "/store/migrations", module + "/store/transition",
			"github.com/lib/pq",
		},
		tests: all(ownDB, []string{module + "/store/view"}),
	},
	// The server reads the views through this package, and no table through package store.
	{
		path:  "store/view",
		may:   []string{module + "/store/internal/postgres", "github.com/lib/pq"},
		tests: all(ownDB, []string{module + "/store!", module + "/store/transition"}),
	},
	{path: "store/storetest", may: []string{module + "/store!", module + "/store/migrations", "github.com/lib/pq"}},
	{
		path: "httpapi/auth",
		may: []string{
			module + "/apis/fairness", module + "/store!", module + "/store/accounts",
			"github.com/golang-jwt/jwt/v5", "golang.org/x/crypto/argon2!",
		},
		tests: ownDB,
	},
	{
		path: "httpapi/objects",
		may:  all([]string{module + "/apis", module + "/generated", module + "/httpapi/cluster"}, client),
	},
	{path: "httpapi/strict"},
	{path: "httpapi/manifest", may: all([]string{module + "/httpapi/strict"}, wire, wireTypes, yaml)},
	{
		path: "httpapi/trigger",
		may:  all([]string{module + "/apis", module + "/httpapi/objects", module + "/store/view"}, client),
	},
	{
		path: "httpapi/podlog",
		may:  all([]string{module + "/apis/kontroler/v1alpha1", module + "/store/view"}, client),
	},
	{
		path:  "httpapi/cluster",
		may:   all([]string{module + "/apis", module + "/generated"}, client),
		tests: []string{module + "/apis/clustertest"},
	},
	{path: "httpapi/diff"},
	{
		path: "httpapi/answer",
		may: all([]string{module + "/httpapi/cluster", module + "/httpapi/dags", module + "/httpapi/diff"},
			[]string{module + "/store/accounts", module + "/store/view", "k8s.io/apimachinery/pkg/apis/meta/v1"}, wire),
	},
	{path: "httpapi/metrics", may: all([]string{module + "/httpapi/auth"}, prometheus)},
	{
		path: "httpapi/dags",
		may:  []string{module + "/apis", module + "/httpapi/cluster", module + "/store/view", "k8s.io/apimachinery"},
	},
	{
		path:  "httpapi/events",
		may:   []string{module + "/store!", module + "/store/view"},
		tests: all(ownDB, []string{module + "/store/transition"}),
	},
	{
		path:  "httpapi/quarters",
		may:   []string{module + "/store/view"},
		tests: all(ownDB, []string{module + "/store!"}),
	},
	{
		path: "httpapi",
		may: all([]string{module + "/apis", module + "/generated", module + "/httpapi", module + "/store!"},
			[]string{module + "/store/accounts", module + "/store/view"}, client, prometheus, yaml),
		tests: all(ownDB, []string{module + "/store/transition", module + "/apis/clustertest"}),
	},
	{
		path: "httpapi/cmd/server",
		may: all([]string{module + "/apis/process", module + "/httpapi", module + "/generated", module + "/store"},
			client, prometheus),
		tests: all(ownDB, wire, []string{module + "/apis/clustertest", module + "/apis/tlstest"}),
	},
	// Tests read the database through its views, not through package store.
	{
		path: "e2e",
		may:  all([]string{module + "/apis", module + "/generated"}, client, yaml, ownDB),
		tests: []string{
			module + "/e2e/harness", module + "/e2e/completer", module + "/e2e/readme", module + "/e2e/site",
		},
	},
	{
		path: "e2e/harness",
		may: all([]string{module + "/apis", module + "/generated", module + "/e2e/completer"},
			client, everyTest, ownDB),
	},
	{
		path: "e2e/manifests",
		// The roles are compared with what the controller checks at start. Databases have the tables of both programs.
		tests: all(client, yaml, ownDB, []string{module + "/controller/install", module + "/e2e/readme",
			module + "/store/accounts"}),
	},
	{
		path: "e2e/web",
		// It writes the rows that a controller would, thousands of them, and the users.
		tests: all(client, ownDB, []string{module + "/apis", module + "/generated", module + "/store!",
			module + "/store/accounts", module + "/store/transition", module + "/store/view", module + "/httpapi/auth",
			module + "/e2e/site"}),
	},
	{path: "e2e/site", may: []string{module + "/e2e/harness"}},
	{path: "e2e/readme", may: yaml},
	{path: "e2e/completer", may: client}, // plays Pods, and does not depend on Kontroler
}

// all returns the entries of all groups.
func all(groups ...[]string) []string {
	var joined []string
	for _, group := range groups {
		joined = append(joined, group...)
	}
	return joined
}
