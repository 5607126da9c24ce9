package logs

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

func podName(kind string, i int) cache.ObjectName {
	return cache.NewObjectName("default", fmt.Sprint(kind, "-", i))
}

func TestANodeThatDoesNotAnswerTakesNoTurnsFromOthers(t *testing.T) {
	var enqueued []cache.ObjectName
	turns := newTurns(func(pod cache.ObjectName) { enqueued = append(enqueued, pod) })
	slow := 0
	for i := range 100 {
		if turns.take("slow", podName("slow", i)) {
			slow++
		}
	}
	if slow != readsPerNode {
		t.Errorf("%d logs of one node are read at the same time, want %d", slow, readsPerNode)
	}

	const pods = 90
	nodes := map[cache.ObjectName]string{}
	var reading []cache.ObjectName // but for those of the slow node
	for i := range pods {
		pod, node := podName("pod", i), fmt.Sprint("node-", i%9)
		nodes[pod] = node
		if turns.take(node, pod) {
			reading = append(reading, pod)
		}
	}
	if all := slow + len(reading); all != ReadsAtOnce {
		t.Errorf("%d logs are read at the same time, want %d", all, ReadsAtOnce)
	}

	done := 0
	for ; len(reading) > 0; done++ {
		enqueued = nil
		turns.giveBack(nodes[reading[0]], reading[0])
		reading = reading[1:]
		for _, pod := range enqueued {
			if turns.take(nodes[pod], pod) {
				reading = append(reading, pod)
			}
		}
	}
	if done != pods {
		t.Errorf("%d of %d Pods had their turn beside the slow node", done, pods)
	}
}

func TestAPodThatAsksTwiceWaitsOnce(t *testing.T) {
	var enqueued []cache.ObjectName
	turns := newTurns(func(pod cache.ObjectName) { enqueued = append(enqueued, pod) })
	for i := range readsPerNode {
		turns.take("node", podName("reading", i))
	}
	for range 3 {
		if turns.take("node", podName("waiting", 0)) {
			t.Fatal("the node has more turns than it may have")
		}
	}
	turns.giveBack("node", podName("reading", 0))
	turns.giveBack("node", podName("reading", 1))
	if diff := cmp.Diff([]cache.ObjectName{podName("waiting", 0)}, enqueued); diff != "" {
		t.Errorf("enqueued (-want +got):\n%s", diff)
	}
}

// A namespace with many Pods that wait does not delay the few of another one.
func TestNamespacesHaveTheirTurns(t *testing.T) {
	var enqueued []cache.ObjectName
	turns := newTurns(func(pod cache.ObjectName) { enqueued = append(enqueued, pod) })
	for i := range 100 {
		turns.take("node", podName("many", i))
	}
	few := cache.NewObjectName("other", "few")
	turns.take("node", few)
	turns.giveBack("node", podName("many", 0))
	if diff := cmp.Diff([]cache.ObjectName{few}, enqueued); diff != "" {
		t.Errorf("enqueued (-want +got):\n%s", diff)
	}
}

// A turn that is given back goes to the Pod that waits, not to one that is gone.
func TestAPodThatIsGoneTakesNoTurn(t *testing.T) {
	var enqueued []cache.ObjectName
	keeper := New(Config{Enqueue: func(pod cache.ObjectName) { enqueued = append(enqueued, pod) }})
	for i := range readsPerNode {
		keeper.turns.take("node", podName("reading", i))
	}
	keeper.turns.take("node", podName("gone", 0))
	keeper.turns.take("node", podName("waiting", 0))
	keeper.turns.take("removed-node", podName("gone", 1))
	for i, node := range []string{"node", "removed-node"} {
		gone := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: podName("gone", i).Name}}
		gone.Spec.NodeName = node
		keeper.Forget(gone)
	}
	keeper.turns.giveBack("node", podName("reading", 0))
	if diff := cmp.Diff([]cache.ObjectName{podName("waiting", 0)}, enqueued); diff != "" {
		t.Errorf("enqueued (-want +got):\n%s", diff)
	}
	if len(keeper.turns.waiting) > 0 {
		t.Errorf("still waiting: %v", keeper.turns.waiting)
	}
}
