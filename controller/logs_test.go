package controller

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/controller/podlog"
	"kontroler/store"
)

// Every Pod has its turn; no node has more than its share, and one that has it keeps no other from its own.
func TestCaptures(t *testing.T) {
	var turn []cache.ObjectName
	c := newCaptures(func(pod cache.ObjectName) { turn = append(turn, pod) })
	slow := 0
	for i := range 100 {
		if c.begin("slow", cache.NewObjectName("default", fmt.Sprint("slow-", i))) {
			slow++
		}
	}
	if slow != logsPerNode {
		t.Errorf("%d logs of one node are read at once", slow)
	}
	begun := map[string]int{}
	nodeOf := map[cache.ObjectName]string{}
	for i := range 90 {
		pod, node := cache.NewObjectName("default", fmt.Sprint("pod-", i)), fmt.Sprint("node-", i%9)
		if nodeOf[pod] = node; c.begin(node, pod) {
			begun[node]++
		}
	}
	all := slow
	for _, n := range begun {
		all += n
	}
	if all != logsAtOnce {
		t.Errorf("%d logs are read at once", all)
	}
	done := all - slow
	for len(begun) > 0 {
		for node := range begun {
			c.end(node)
			if begun[node]--; begun[node] == 0 {
				delete(begun, node)
			}
			break
		}
		for _, pod := range turn {
			if c.begin(nodeOf[pod], pod) {
				begun[nodeOf[pod]]++
				done++
			}
		}
		turn = nil
	}
	if done != 90 {
		t.Errorf("%d of 90 Pods had their turn beside a node that does not answer", done)
	}
}

// A node serves nothing of a log that it rotated after the last line, as of one that was never written: that is said.
func TestEmptyLog(t *testing.T) {
	const said = "it is empty: nothing was written, or its node rotated it after the last line"
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, test := range map[string]struct {
		ran    time.Duration
		opened time.Time
		want   string
	}{
		"too short to be rotated": {ran: 10 * time.Second},
		"long":                    {ran: time.Minute, want: said},
		"streamed":                {ran: time.Minute, opened: start.Add(time.Second)},
	} {
		attempt := store.Attempt{StartedAt: start, FinishedAt: start.Add(test.ran)}
		row := (&term{Controller: &Controller{}}).describe(&corev1.Pod{}, attempt, podlog.Result{}, test.opened)
		if row.Message != test.want || row.Rotated {
			t.Errorf("%s: %q, rotated: %t", name, row.Message, row.Rotated)
		}
	}
}

func TestRotated(t *testing.T) {
	for name, test := range map[string]struct {
		late time.Duration
		size int64
		want bool
	}{
		"at once":           {0, 10 << 20, false},
		"in its second":     {time.Second, 10 << 20, false},
		"small and soon":    {5 * time.Second, 100, false},
		"large and late":    {3 * time.Second, 10 << 20, true},
		"small and so late": {time.Minute, 100, true},
	} {
		if got := rotated(test.late, test.size); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
