package main

// module is the path of the root module.
const module = "kontroler"

// Limits. Beyond them a thing is two things.
const (
	maxLines        = 80   // of a function, signature and braces included
	maxPackageLines = 3500 // of a package, without comments, blank lines and tests
	maxFields       = 12   // of a type
	maxMethods      = 24   // of a type
	// maxRecordMethods is how many methods a record may have, whose fields have no limit.
	maxRecordMethods = 2
	maxColumns       = 120 // of a line
)

// product is what is shipped, to which the limits of packages and types apply.
var product = []string{"apis", "controller", "store", "httpapi"}

// large are types that may be larger than the limits: the flags of a main, and types that list what there is.
var large = []string{
	"controller/Config", "controller/metrics/Metrics", "controller/cmd/controller/config",
}

// top is everything that may lie at the top of the repository, beside dotfiles.
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

// A place is a folder, with all below it that is no place of its own, and what its packages may import beside the
// standard library and the place itself. An entry allows a package and all below it; a final "!" allows just the package.
// What a test may import in addition is in tests.
type place struct {
	path  string
	may   []string
	tests []string
}

// The groups that several places share.
var (
	wire       = []string{module + "/apis/kontroler"}
	wireTypes  = []string{"k8s.io/api", "k8s.io/apimachinery/pkg/api/resource", "k8s.io/apimachinery/pkg/apis/meta/v1"}
	validation = []string{"k8s.io/apimachinery/pkg/util/validation", "k8s.io/apimachinery/pkg/api/validation"}
	client     = []string{"k8s.io/client-go", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/klog/v2", "k8s.io/utils"}
	prometheus = []string{"github.com/prometheus/client_golang"}
	yaml       = []string{"sigs.k8s.io/yaml"}
	everyTest  = []string{"github.com/google/go-cmp"}
	// controllerRooms are the packages below controller, none of which imports it.
	controllerRooms = []string{module + "/controller"}
	ownDB           = []string{module + "/store/storetest", "github.com/lib/pq"}
)

// house is the table. The place of a package is the longest path that fits.
var house = []place{
	{path: "apis/kontroler/v1alpha1", may: all([]string{"k8s.io/api", "k8s.io/apimachinery"})},
	{
		path: "apis/dag",
		// strategicpatch: what is given beside a taskRef is merged exactly as the API server and kubectl merge a Pod
		may:   all(wire, wireTypes, validation, []string{"k8s.io/apimachinery/pkg/util/strategicpatch!", "github.com/robfig/cron/v3"}),
		tests: yaml,
	},
	{path: "generated", may: all([]string{module + "/apis"}, client)},
	{path: "controller/engine", may: []string{module + "/apis", module + "/store/transition"}, tests: wireTypes},
	{
		path: "controller/schedule",
		may: all([]string{module + "/apis", module + "/generated", module + "/store!", module + "/controller/fault"},
			[]string{module + "/controller/kube", module + "/controller/names", module + "/controller/queue"},
			[]string{module + "/controller/text", "github.com/robfig/cron/v3"}, client),
		tests: ownDB,
	},
	{path: "controller/podlog"},
	{path: "controller/names", tests: validation},
	{path: "controller/text"},
	{path: "controller/clock", may: []string{module + "/controller/fault"}},
	{path: "controller/metrics", may: all([]string{module + "/store!", module + "/store/transition"}, prometheus)},
	{
		path:  "controller/versions",
		may:   all([]string{module + "/apis", module + "/controller/text", module + "/store!"}, validation),
		tests: ownDB,
	},
	{path: "controller/kube", may: all(wire, client)},
	{path: "controller/informer", may: client},
	{
		path: "controller/pod",
		may: all([]string{module + "/apis", module + "/controller/engine", module + "/controller/kube", module + "/controller/text"},
			wireTypes, validation, []string{"k8s.io/apimachinery/pkg/types"}),
		tests: yaml,
	},
	{
		path: "controller/podevents",
		may: all([]string{
			module + "/controller/fault", module + "/controller/kube", module + "/controller/names", module + "/controller/pod",
			module + "/controller/text", module + "/controller/wait", module + "/store!",
		}, client),
		tests: wire,
	},
	{path: "controller/queue", may: all([]string{module + "/controller/engine", module + "/store!"}, client)},
	{
		path: "controller/logs",
		may: all([]string{module + "/controller/engine", module + "/controller/fault", module + "/controller/pod", module + "/controller/podlog",
			module + "/controller/queue", module + "/controller/text", module + "/controller/wait", module + "/store!"}, wire, client),
		tests: ownDB,
	},
	{
		path:  "controller/install",
		may:   all([]string{module + "/controller/kube", module + "/controller/wait"}, wire, client),
		tests: []string{module + "/controller/clustertest"},
	},
	{
		path: "controller/webhook",
		may: all([]string{module + "/controller/fault", module + "/controller/queue", module + "/controller/text",
			module + "/controller/wait", module + "/store!"}, wire, client),
	},
	{
		path: "controller/retention",
		may: all([]string{module + "/controller/fault", module + "/controller/informer", module + "/controller/kube",
			module + "/controller/pod", module + "/controller/queue", module + "/controller/wait", module + "/generated",
			module + "/store!"}, wire, client),
	},
	{path: "controller/fault"},
	{path: "controller/wait"},
	{path: "controller/clustertest", may: client},
	{
		path:  "controller/leader",
		may:   all([]string{module + "/controller/fault", module + "/controller/wait", module + "/store!"}, wire, client),
		tests: []string{module + "/controller/clustertest"},
	},
	{
		path:  "controller",
		may:   all([]string{module + "/apis", module + "/generated", module + "/store!", module + "/store/transition"}, controllerRooms, client, prometheus),
		tests: all(ownDB, yaml, []string{module + "/controller/clustertest"}),
	},
	{
		path:  "controller/cmd/controller",
		may:   all([]string{module + "/controller", module + "/generated", module + "/store!"}, client, prometheus),
		tests: all(ownDB, wire),
	},
	{path: "store/transition"}, // what engine decides and store writes
	{path: "store", may: []string{module + "/store/transition", "github.com/lib/pq"}, tests: ownDB},
	{path: "store/storetest", may: []string{module + "/store!", "github.com/lib/pq"}},
	{
		path: "httpapi",
		may: all([]string{module + "/apis", module + "/generated", module + "/store!"}, client, prometheus, yaml,
			[]string{"github.com/golang-jwt/jwt/v5", "golang.org/x/crypto"}),
		tests: ownDB,
	},
	{
		path:  "httpapi/cmd/server",
		may:   all([]string{module + "/httpapi", module + "/generated", module + "/store!"}, client, prometheus),
		tests: all(ownDB, wire),
	},
	// a database of its own, not the store; what only tests share is for tests
	{
		path:  "e2e",
		may:   all([]string{module + "/apis", module + "/generated"}, client, yaml, ownDB),
		tests: []string{module + "/e2e/harness", module + "/e2e/completer"},
	},
	{
		path: "e2e/harness",
		may:  all([]string{module + "/apis", module + "/generated", module + "/e2e/completer"}, client, everyTest, ownDB),
	},
	{path: "e2e/completer", may: client}, // it plays Pods, and knows nothing of Kontroler
}

// all joins groups.
func all(groups ...[]string) []string {
	var joined []string
	for _, group := range groups {
		joined = append(joined, group...)
	}
	return joined
}
