package view_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"kontroler/store"
	"kontroler/store/view"
)

// TestLogs checks every field of a log and the content of its chunks, and what is said of logs that do not exist or are
// removed.
func TestLogs(t *testing.T) {
	f := newFixture(t)
	leader, version := f.lead()
	ctx := t.Context()
	run, err := leader.Admit(ctx, store.NewRun{
		UID: uid(2), Namespace: "team", Name: "etl-1", DAGName: "etl", DAGID: version.DAGID, VersionID: version.ID,
		Parameters: []byte(`[]`), CreatedAt: t0, AdmittedAt: at(1),
	}, []store.NewTask{{Position: 0, Name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	parts := []string{"the first\n", "the ", "last\n"}
	var chunks []store.LogChunk
	for _, part := range parts {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, store.LogChunk{Size: len(part), Gzip: packed.Bytes()})
	}
	err = leader.Logs.Save(ctx, run.ID, store.Log{
		AttemptID: 7, At: at(8), State: store.LogCaptured, Message: "m", Bytes: 119, OmittedAt: 10, Omitted: 100,
		BeginsAt: at(2), EndsAt: at(7), IsRotated: true, IsIncomplete: true, CapturedAt: at(9),
	}, chunks)
	if err != nil {
		t.Fatal(err)
	}
	log, found, err := f.db.Log(ctx, view.Attempt{ID: 7, FinishedAt: at(8)})
	check(t, "log", err, view.Log{
		AttemptID: 7, At: at(8), State: view.LogCaptured, Message: "m", Bytes: 119, OmittedAt: 10, Omitted: 100,
		BeginsAt: at(2), EndsAt: at(7), IsRotated: true, IsIncomplete: true, Chunks: 3, CapturedAt: at(9),
	}, log)
	check(t, "the log is found", nil, true, found)
	sizes, err := f.db.LogSizes(ctx, log)
	check(t, "sizes", err, []int{10, 4, 5}, sizes)
	for i, want := range parts {
		packed, err := f.db.LogChunk(ctx, log, i)
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		check(t, "content", err, want, string(content))
	}
	for name, attempt := range map[string]view.Attempt{
		"another attempt":               {ID: 8, FinishedAt: at(8)},
		"another end":                   {ID: 7, FinishedAt: at(9)},
		"an attempt that has not ended": {ID: 7},
	} {
		if _, found, err := f.db.Log(ctx, attempt); found || err != nil {
			t.Errorf("%s: found %t, %v", name, found, err)
		}
	}
	f.exec(`DELETE FROM kontroler.log_chunks WHERE seq = 1`)
	if _, err := f.db.LogSizes(ctx, log); !errors.Is(err, view.ErrLogRemoved) {
		t.Errorf("sizes of a log that was removed: %v", err)
	}
	if _, err := f.db.LogChunk(ctx, log, 1); !errors.Is(err, view.ErrLogRemoved) {
		t.Errorf("a chunk that was removed: %v", err)
	}
}
