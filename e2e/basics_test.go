package e2e_test

import (
	"strings"
	"testing"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestDiamondWithThreeParents(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG("diamond", sh("a", ""), sh("b", "", after("a")), sh("c", "sleep 1", after("a")), sh("d", "", after("a")),
		sh("e", "", after("b", "c", "d")))
	w.Start("run", "diamond")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b", "c", "d", "e"))
	w.CheckOnce("a", "b", "c", "d", "e")
}

func TestLongNamesAndUnicode(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	task, child := strings.Repeat("t", 63), "c"+strings.Repeat("-x", 31)
	dag, run := strings.Repeat("d", 63), strings.Repeat("r", 63)
	longest := strings.Repeat(strings.Repeat("s", 63)+".", 3) + strings.Repeat("s", 61)
	value := "žluťoučký kůň 馬 🐎 \"'`\\ $(HOSTNAME) $$HOSTNAME\ttab\nnewline"
	spec := v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{
			{Name: "VALUE", DefaultValue: &value},
			{Name: "other.value-1", DefaultValue: &value},
		},
		Task: []v1alpha1.Task{sh(task, `printf %s "$VALUE" >> /dir/value`), sh(child, "", after(task))},
	}
	spec.Task[0].Parameters = []string{"VALUE", "other.value-1"}
	w.ApplySpec(dag, spec)
	w.ApplySpec(longest, spec)
	for _, names := range [][2]string{{run, dag}, {longest, longest}} {
		w.Start(names[0], names[1])
		pod := w.WaitPod(names[0], task, nil)
		if pod.Annotations[v1alpha1.AnnotationRun] != names[0] || pod.Annotations[v1alpha1.AnnotationDAG] != names[1] {
			t.Errorf("a Pod's annotations are %v", pod.Annotations)
		}
		w.WaitRun(names[0], v1alpha1.RunSucceeded, patience)
		w.CheckFinal(names[0], "Succeeded", all("Succeeded", task, child))
	}
	if is := w.File("value"); is != value+value {
		t.Errorf("the tasks saw %q, want twice %q", is, value)
	}
}
