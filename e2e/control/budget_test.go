package control_test

import (
	"context"
	"fmt"
	"regexp"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"kontroler/apis/kontroler/v1alpha1"
)

// A run sends few writes to the API server: for each task a create, a patch of the finalizer and a delete; for the run
// two patches of the status and one Event; a tenth of all writes for progress. Patches of the DAG's status, and a
// progress patch every ten seconds, come in addition.
func TestWritesOfARun(t *testing.T) {
	const width = 20
	w := newWorld(t)
	c := w.Controller()
	names := []string{"first"}
	tasks := []v1alpha1.Task{play("first", "")}
	for i := range width {
		names = append(names, fmt.Sprintf("t%d", i))
		tasks = append(tasks, play(names[i+1], "", after("first")))
	}
	names = append(names, "last")
	tasks = append(tasks, play("last", "", after(names[1:width+1]...)))
	w.ApplyDAG("dag", tasks...)
	w.Eventually("the DAG to be valid", time.Minute, func(context.Context) (bool, string) {
		conditions := w.DAG("dag").Status.Conditions
		return meta.IsStatusConditionTrue(conditions, v1alpha1.DAGValid), fmt.Sprint(conditions)
	})
	before := writes(t, c)
	began := time.Now()
	w.Start("run", "dag")
	w.WaitRun("run", v1alpha1.RunSucceeded, 3*time.Minute)
	w.CheckFinal("run", "Succeeded", all("Succeeded", names...))

	spent := writes(t, c)
	for key, n := range before {
		spent[key] -= n
	}
	n, all := len(tasks), 0
	delete(spent, "update leases")
	for _, n := range spent {
		all += n
	}
	// A tenth of all writes, one every ten seconds, the first one, and one that the limiter had saved.
	trickle := 2 + int(time.Since(began)/(10*time.Second))
	progress := spent["patch dagruns/status"] - 2
	if progress > all/10+trickle {
		t.Errorf("%d progress patches among %d writes, and %d for the time", progress, all, trickle)
	}
	delete(spent, "patch dagruns/status")
	for key, most := range map[string]int{
		"create pods": n, "patch pods": n, "delete pods": n, "patch dags/status": 2 + trickle, "create events": 1,
	} {
		if spent[key] > most {
			t.Errorf("%d times %s for %d tasks, at most %d", spent[key], key, n, most)
		}
		delete(spent, key)
	}
	for key, n := range spent {
		if n > 0 {
			t.Errorf("%d times %s", n, key)
		}
	}
}

var seriesOfRequests = regexp.MustCompile(
	`^kontroler_api_requests_total\{code="[^"]*",resource="([^"]*)",verb="([^"]*)"\}$`,
)

// writes counts the requests of a controller that change something, by verb and resource.
func writes(t *testing.T, c *controller) map[string]int {
	t.Helper()
	counters, counts := c.Counters(), map[string]int{}
	for series, n := range counters {
		labels := seriesOfRequests.FindStringSubmatch(series)
		if labels == nil {
			continue
		}
		if resource, verb := labels[1], labels[2]; verb != "get" && verb != "list" && verb != "watch" {
			counts[verb+" "+resource] += n
		}
	}
	if len(counts) == 0 {
		t.Fatalf("no write in /metrics: %v", counters)
	}
	return counts
}
