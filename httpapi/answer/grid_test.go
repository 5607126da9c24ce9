package answer_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi/answer"
	"kontroler/store/view"
)

// TestGridOfDifferentRuns makes a grid of three runs: one with a task that the DAG no longer has, one without tasks,
// and one with other tasks in another order.
func TestGridOfDifferentRuns(t *testing.T) {
	runs := []view.Run{{UID: "3", VersionID: 12}, {UID: "2"}, {UID: "1", VersionID: 11}}
	grid := answer.OfGrid(runs, map[int64]int64{11: 1, 12: 2}, []view.RunTasks{
		{Names: []string{"a", "b"}, Phases: []string{"Succeeded", "Active"}, Retried: []string{"b"}},
		{},
		{Names: []string{"gone", "b"}, Phases: []string{"Failed", "Skipped"}, Retried: []string{"gone"},
			Restarted: []string{"gone", "b"}},
	})
	type row struct {
		UID                string
		Version            int64
		Phases             []any
		Retried, Restarted []int
	}
	var got struct {
		Tasks []string
		Runs  []row
	}
	text, err := json.Marshal(grid)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "gone"}, got.Tasks); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]row{
		{"3", 2, []any{"Succeeded", "Active", nil}, []int{1}, []int{}},
		{"2", 0, []any{nil, nil, nil}, []int{}, []int{}},
		{"1", 1, []any{nil, "Skipped", "Failed"}, []int{2}, []int{2, 1}},
	}, got.Runs); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
