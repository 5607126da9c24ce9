package store_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/view"
)

// saveLog saves a log of these chunks, for a new run.
func (f *fixture) saveLog(log store.Log, chunks ...string) {
	f.Helper()
	packed := make([]store.LogChunk, len(chunks))
	for i, chunk := range chunks {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(chunk)); err != nil {
			f.Fatal(err)
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		packed[i] = store.LogChunk{Size: len(chunk), Gzip: b.Bytes()}
	}
	log.CapturedAt = at(9)
	if err := f.leader.Logs.Save(f.Context(), f.admit().ID, log, packed); err != nil {
		f.Fatal(err)
	}
}

// log reads a log and its content.
func (f *fixture) log(attempt int64) (view.Log, string) {
	f.Helper()
	views, err := view.Open(view.Config{URL: f.url})
	if err != nil {
		f.Fatal(err)
	}
	defer views.Close()
	log, found, err := views.Log(f.Context(), view.Attempt{ID: attempt, FinishedAt: at(8)})
	if err != nil || !found {
		f.Fatalf("log of attempt %d: found %t, %v", attempt, found, err)
	}
	var packed bytes.Buffer
	for n := range log.Chunks {
		chunk, err := views.LogChunk(f.Context(), log, n)
		if err != nil {
			f.Fatal(err)
		}
		packed.Write(chunk)
	}
	if packed.Len() == 0 {
		return log, ""
	}
	r, err := gzip.NewReader(&packed)
	if err != nil {
		f.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		f.Fatal(err)
	}
	return log, string(content)
}

func TestLogs(t *testing.T) {
	f := newFixture(t)
	first := store.Log{
		AttemptID: 1, At: at(8), State: store.LogCaptured, Message: "m\x00\xff", Bytes: 100, OmittedAt: 3, Omitted: 94,
		BeginsAt: at(1), EndsAt: at(7), IsRotated: true, IsIncomplete: true,
	}
	f.saveLog(first, "a\x00\xff", "def")
	changes := f.text(`SELECT count(*) FROM kontroler.changes`)
	// Saving the log of an attempt again writes nothing.
	again := first
	again.State, again.Bytes, again.Message, again.OmittedAt, again.Omitted = store.LogLost, 0, "gone", 0, 0
	f.saveLog(again)
	if now := f.text(`SELECT count(*) - 1
FROM kontroler.changes`); now != changes { // the admission of the run is one change
		t.Errorf("%s changes became %s", changes, now)
	}
	want := view.Log{
		AttemptID: 1, At: at(8), State: view.LogCaptured, Message: "m\uFFFD\uFFFD", Bytes: 100, OmittedAt: 3,
		Omitted: 94, BeginsAt: at(1), EndsAt: at(7), IsRotated: true, IsIncomplete: true, Chunks: 2, CapturedAt: at(9),
	}
	got, content := f.log(1)
	if diff := cmp.Diff(want, got); diff != "" || content != "a\x00\xffdef" {
		t.Errorf("content %q, log (-want +got):\n%s", content, diff)
	}
	f.saveLog(store.Log{AttemptID: 2, At: at(8), State: store.LogLost, Message: "gone"})
	if got, content := f.log(2); got.State != store.LogLost || got.Message != "gone" || content != "" {
		t.Errorf("lost: %+v, content %q", got, content)
	}
}

// TestLogOwner checks that the owner of a log has the log once it is saved.
func TestLogOwner(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0)
	attempt := store.Attempt{ID: 7, FinishedAt: at(8)}
	ask := func(uid string) (store.LogOwner, bool) {
		owner, found, err := f.leader.Logs.Owner(t.Context(), uid, attempt)
		if err != nil {
			t.Fatal(err)
		}
		return owner, found
	}
	want := store.LogOwner{RunID: run.ID, VersionID: f.version.ID}
	if got, found := ask(run.UID); !found || got != want {
		t.Errorf("before: %+v, found %t", got, found)
	}
	f.saveLog(store.Log{AttemptID: 7, At: at(8), State: store.LogCaptured})
	want.HasLog = true
	if got, found := ask(run.UID); !found || got != want {
		t.Errorf("after: %+v, found %t", got, found)
	}
	if _, found := ask(uid(9999)); found {
		t.Error("there is a run that does not exist")
	}
}
