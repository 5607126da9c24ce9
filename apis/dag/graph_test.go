package dag_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

func compile(t testing.TB, spec *v1alpha1.DAGSpec) *dag.Graph {
	t.Helper()
	g, faults := dag.Compile(spec)
	if len(faults) > 0 {
		t.Fatalf("compiling: %v", faults.ToAggregate())
	}
	return g
}

func TestGraph(t *testing.T) {
	spec := tasks(task("d", "c", "b", "c"), task("a"), task("b", "a"), task("c", "a"), task("alone"))
	g := compile(t, spec)
	if g.Len() != 5 || g.Spec() != spec || g.Task(3).Name != "c" {
		t.Errorf("len %d, task 3 %q", g.Len(), g.Task(3).Name)
	}
	if diff := cmp.Diff([]int32{1, 4, 2, 3, 0}, g.Order()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for name, want := range map[string]struct{ parents, children []int32 }{
		"d":     {[]int32{2, 3}, []int32{}},
		"a":     {[]int32{}, []int32{2, 3}},
		"b":     {[]int32{1}, []int32{0}},
		"c":     {[]int32{1}, []int32{0}},
		"alone": {[]int32{}, []int32{}},
	} {
		position, ok := g.Position(name)
		if !ok {
			t.Fatalf("no position of %s", name)
		}
		if diff := cmp.Diff(want.parents, g.Parents(position)); diff != "" {
			t.Errorf("parents of %s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(want.children, g.Children(position)); diff != "" {
			t.Errorf("children of %s (-want +got):\n%s", name, diff)
		}
	}
	if _, ok := g.Position("nobody"); ok {
		t.Error("a position of nobody")
	}
}

func TestCycleMessages(t *testing.T) {
	ring := func(n int) *v1alpha1.DAGSpec {
		s := layered(n, 1)
		s.Task[0].RunAfter = []string{fmt.Sprintf("t%d", n-1)}
		return s
	}
	for name, c := range map[string]struct {
		spec *v1alpha1.DAGSpec
		want []string
	}{
		"two": {tasks(task("a", "b"), task("b", "a")), []string{"a → b → a"}},
		"direction is runs-before": {
			tasks(task("a", "c"), task("b", "a"), task("c", "b")), []string{"a → b → c → a"},
		},
		"the shortest, without what comes before and after": {
			tasks(task("x"), task("a", "x", "c", "b"), task("b", "a"), task("c", "b"), task("z", "c")),
			[]string{"a → b → a"},
		},
		"each group once": {
			tasks(task("a", "b"), task("c", "d", "a"), task("b", "a"), task("d", "c")),
			[]string{"a → b → a", "c → d → c"},
		},
		"longest in full": {ring(20), []string{
			"t0 → t1 → t2 → t3 → t4 → t5 → t6 → t7 → t8 → t9 → t10 → t11 → t12 → t13 → t14 → t15 → t16 → " +
				"t17 → t18 → t19 → t0",
		}},
		"cut": {ring(10000), []string{
			"t0 → t1 → t2 → t3 → t4 → t5 → t6 → t7 → t8 → t9 → t10 → t11 → t12 → t13 → t14 → t15 → t16 → " +
				"t17 → … (9981 more) → t9999 → t0",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, faults := dag.Compile(c.spec)
			var got []string
			for _, fault := range faults {
				cycle, ok := strings.CutPrefix(fault.Detail, "the tasks wait for each other: ")
				if !ok {
					t.Errorf("another fault: %v", fault)
				}
				got = append(got, cycle)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestCompileAgainstReference compares random graphs with a reachability matrix.
func TestCompileAgainstReference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cyclic := 0
	for range 3000 {
		n := 1 + random.IntN(12)
		spec := &v1alpha1.DAGSpec{}
		edge := make([][]bool, n) // edge[i][j]: i runs before j
		for i := range n {
			edge[i] = make([]bool, n)
			spec.Task = append(spec.Task, task(fmt.Sprintf("t%d", i)))
		}
		for range random.IntN(2 * n) {
			i, j := random.IntN(n), random.IntN(n)
			if i == j {
				continue
			}
			if random.IntN(4) > 0 && i > j {
				i, j = j, i
			}
			edge[i][j] = true
			spec.Task[j].RunAfter = append(spec.Task[j].RunAfter, fmt.Sprintf("t%d", i))
		}
		if checkAgainst(t, spec, edge) {
			cyclic++
		}
		if t.Failed() {
			t.Fatalf("tasks: %v", spec.Task)
		}
	}
	if cyclic < 300 || cyclic > 2700 {
		t.Errorf("%d of 3000 graphs have a cycle: the test says little", cyclic)
	}
}

// reachable returns the transitive closure.
func reachable(edge [][]bool) [][]bool {
	reach := make([][]bool, len(edge))
	for i := range edge {
		reach[i] = slices.Clone(edge[i])
	}
	for k := range edge {
		for i := range edge {
			for j := range edge {
				reach[i][j] = reach[i][j] || reach[i][k] && reach[k][j]
			}
		}
	}
	return reach
}

// checkAgainst reports whether the graph has a cycle.
func checkAgainst(t *testing.T, spec *v1alpha1.DAGSpec, edge [][]bool) bool {
	t.Helper()
	reach := reachable(edge)
	groups := 0 // of tasks that reach each other, counted by their first
	for i := range edge {
		first := true
		for j := range i {
			first = first && !(reach[i][j] && reach[j][i])
		}
		if reach[i][i] && first {
			groups++
		}
	}
	g, faults := dag.Compile(spec)
	if len(faults) != groups {
		t.Errorf("%d faults, want %d: %v", len(faults), groups, faults)
	}
	for _, fault := range faults {
		checkCycle(t, spec, edge, fault.Detail)
	}
	if groups > 0 {
		return true
	}
	at := make([]int, len(edge))
	for index, position := range g.Order() {
		at[position] = index
	}
	for i := range edge {
		var children, parents []int32
		for j := range edge {
			if edge[i][j] {
				children = append(children, int32(j))
				if at[i] >= at[j] {
					t.Errorf("order %v: %d is not before %d", g.Order(), i, j)
				}
			}
			if edge[j][i] {
				parents = append(parents, int32(j))
			}
		}
		if !slices.Equal(children, g.Children(i)) || !slices.Equal(parents, g.Parents(i)) {
			t.Errorf("%d: children %v, want %v; parents %v, want %v", i, g.Children(i), children, g.Parents(i), parents)
		}
	}
	return false
}

// checkCycle checks that a fault names a cycle of the graph, with each task once.
func checkCycle(t *testing.T, spec *v1alpha1.DAGSpec, edge [][]bool, detail string) {
	t.Helper()
	_, cycle, _ := strings.Cut(detail, ": ")
	names := strings.Split(cycle, " → ")
	index := func(name string) int {
		return slices.IndexFunc(spec.Task, func(t v1alpha1.Task) bool { return t.Name == name })
	}
	if len(names) < 3 || names[0] != names[len(names)-1] {
		t.Errorf("no cycle: %q", detail)
		return
	}
	seen := map[string]bool{}
	for i, name := range names[1:] {
		if seen[name] || !edge[index(names[i])][index(name)] {
			t.Errorf("%q: not an edge, or twice: %s → %s", detail, names[i], name)
		}
		seen[name] = true
	}
}

// TestCompileDeep compiles the longest chain and the widest fan, in the order that is worst for recursion.
func TestCompileDeep(t *testing.T) {
	spec := layered(10000, 1)
	slices.Reverse(spec.Task)
	g := compile(t, spec)
	if g.Order()[0] != 9999 || g.Order()[9999] != 0 {
		t.Errorf("order from %d to %d", g.Order()[0], g.Order()[9999])
	}
	fan := layered(10000, 0)
	for i := range 9999 {
		fan.Task[9999].RunAfter = append(fan.Task[9999].RunAfter, fan.Task[i].Name)
	}
	if g := compile(t, fan); len(g.Parents(9999)) != 9999 {
		t.Errorf("%d parents", len(g.Parents(9999)))
	}
}

func TestMaxParallel(t *testing.T) {
	for name, c := range map[string]struct {
		limit     *int32
		workspace *v1alpha1.Workspace
		want      int
	}{
		"all":                  {},
		"a limit":              {limit: ptr[int32](7), want: 7},
		"a claim for one node": {limit: ptr[int32](7), workspace: claimed("1Gi"), want: 7},
		"a claim for one Pod":  {limit: ptr[int32](7), workspace: claimed("1Gi", "ReadWriteOncePod"), want: 1},
		"a claim that is not made": {
			workspace: func() *v1alpha1.Workspace {
				w := claimed("1Gi", "ReadWriteOncePod")
				w.Enable = false
				return w
			}(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, faults := dag.Compile(
				&v1alpha1.DAGSpec{Task: []v1alpha1.Task{task("a")}, MaxParallel: c.limit, Workspace: c.workspace},
			)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			if got := g.MaxParallel(); got != c.want {
				t.Errorf("%d tasks at once, want %d", got, c.want)
			}
			if got, want := g.Workspace() != nil, c.workspace != nil && c.workspace.Enable; got != want {
				t.Errorf("a workspace: %t, want %t", got, want)
			}
		})
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"task":[{"name":"a","image":"x"}]}`,
		`{"task":[{"name":"a","image":"x","runAfter":["b","b","c"]},{"name":"b","runAfter":["a"]}],"dsl":"x"}`,
		`{"schedule":"* * * * *","timeZone":"Europe/Berlin","parameters":[{"name":"p","defaultValue":"1"}],` +
			`"task":[{"name":"a","image":"x","parameters":["p"],"podTemplate":{"env":[{"name":"p"}],` +
			`"volumes":[{"name":"v"}],"volumeMounts":[{"name":"v","mountPath":"/v"}],` +
			`"resources":{"limits":{"cpu":"1"},"requests":{"cpu":"2"}}}}]}`,
		`{"task":[{"name":"a","taskRef":{"name":"t"},"script":"x","podTemplate":{` +
			`"initContainers":[{"name":"task"}],"labels":{"a":"b"},"tolerations":[{}]}}],"workspace":{"enable":true}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := dag.Decode(data)
		if err != nil {
			return
		}
		g, faults := dag.Compile(spec)
		_, again := dag.Compile(spec)
		if diff := cmp.Diff(brief(faults), brief(again)); diff != "" {
			t.Fatalf("not deterministic:\n%s", diff)
		}
		if (g == nil) != (len(faults) > 0) || len(faults) > 101 {
			t.Fatalf("graph %v, %d faults", g, len(faults))
		}
		encoded, err := dag.Encode(spec)
		if err != nil || g == nil {
			return
		}
		decoded, err := dag.Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := dag.Encode(decoded); err != nil || string(twice) != string(encoded) {
			t.Fatalf("%v: encoded twice\n%s\n%s", err, encoded, twice)
		}
		compile(t, decoded)
		if _, faults := g.Resolve(nil); len(faults) > 0 {
			t.Fatal(faults)
		}
	})
}

// BenchmarkCompile: the time per task does not depend on the number of tasks.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		for _, parents := range []int{1, 100} {
			spec := layered(n, parents)
			b.Run(fmt.Sprintf("tasks=%d/parents=%d", n, parents), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, faults := dag.Compile(spec); len(faults) > 0 {
						b.Fatal(faults)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/task")
			})
		}
	}
}

// BenchmarkCompileCycle: the same if all tasks are one cycle.
func BenchmarkCompileCycle(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		spec := layered(n, 1)
		spec.Task[0].RunAfter = []string{fmt.Sprintf("t%d", n-1)}
		b.Run(fmt.Sprintf("tasks=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, faults := dag.Compile(spec); len(faults) != 1 {
					b.Fatal(faults)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/task")
		})
	}
}
