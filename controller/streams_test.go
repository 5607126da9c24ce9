package controller

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// answer is one of a kubelet to a request for a log: a body, broken off at its end or not, or a status.
type answer struct {
	status int
	body   string
	breaks bool
}

// readStream reads a stream to its end, of a Pod that is gone by then, from a server that gives these answers, the last of
// them again and again.
func readStream(t *testing.T, answers ...answer) (s *stream, content string, since []string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := answers[min(len(since), len(answers)-1)]
		since = append(since, r.URL.Query().Get("sinceTime"))
		if now.status != 0 {
			w.WriteHeader(now.status)
		}
		_, _ = io.WriteString(w, now.body)
		if now.breaks {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	kube := kubernetes.NewForConfigOrDie(&rest.Config{Host: server.URL, QPS: -1})
	term := &term{Controller: &Controller{Config: Config{
		Kube: kube, LogLimit: 1 << 20, Log: slog.New(slog.DiscardHandler)}}, clock: newClock()}
	streams := newStreams(1<<20, nil)
	s = streams.open(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "u"}}, 1<<20, streamsAtOnce)
	if again := streams.open(s.pod, 1<<20, streamsAtOnce); again != s {
		t.Error("a Pod has two streams")
	}
	term.runStream(t.Context(), s)
	streams.finish(s)
	if is, live := streams.result("u", time.Now()); is != s || live != 0 {
		t.Errorf("a stream that is done is live for %s", live)
	}
	var packed bytes.Buffer
	for _, block := range s.log.Finish().Blocks {
		packed.Write(block.Gzip)
	}
	if packed.Len() > 0 {
		unpacked, err := gzip.NewReader(&packed)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		content = string(all)
	}
	streams.drop("u")
	if len(streams.pods) != 0 {
		t.Error("a stream that was dropped is there")
	}
	return s, content, since
}

// A stream that breaks is continued where it broke; what the kubelet says of a log that is gone is not log.
func TestStreams(t *testing.T) {
	line := func(second int, text string) string { return fmt.Sprintf("2026-03-01T12:00:%02d.5Z %s", second, text) }
	const removed = "unable to retrieve container logs for containerd://abc"
	for name, test := range map[string]struct {
		answers []answer
		content string
		since   string // of the last request
		usable  bool
		err     bool
	}{
		"whole":                {[]answer{{body: line(1, "a\n") + line(2, "b\n")}}, "a\nb\n", "", true, false},
		"empty":                {[]answer{{}}, "", "", true, false},
		"breaks inside a line": {[]answer{{body: line(1, "a\n") + line(2, "bef"), breaks: true}, {body: line(2, "before\n") + line(3, "c\n")}}, "a\nbefore\nc\n", "2026-03-01T12:00:02Z", true, false},
		"breaks, then is gone": {[]answer{{body: line(1, "a\n"), breaks: true}, {body: removed}}, "a\n", "2026-03-01T12:00:01Z", true, true},
		"is gone":              {[]answer{{body: removed}}, "", "", false, true},
		"its Pod is gone":      {[]answer{{status: http.StatusNotFound, body: "pod not found"}}, "", "", false, true},
		"the node is away":     {[]answer{{status: http.StatusInternalServerError}, {body: line(1, "a\n")}}, "a\n", "", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, content, since := readStream(t, test.answers...)
			if content != test.content || s.usable() != test.usable || s.usable() && (s.err != nil) != test.err {
				t.Errorf("content %q, usable %t, error %v", content, s.usable(), s.err)
			}
			if last := since[len(since)-1]; last != test.since || strings.Join(since[:1], "") != "" {
				t.Errorf("asked for lines since %q", since)
			}
		})
	}
}

// There are no more streams than may be, and one that is dropped makes room.
func TestStreamsAreBounded(t *testing.T) {
	streams := newStreams(1<<20, nil)
	pod := func(i int) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(i))}}
	}
	for i := range streamsAtOnce {
		if streams.open(pod(i), 1<<20, streamsAtOnce) == nil {
			t.Fatalf("no stream %d", i)
		}
	}
	if streams.open(pod(streamsAtOnce), 1<<20, streamsAtOnce) != nil {
		t.Error("one more stream than may be")
	}
	now := time.Now()
	s, live := streams.result("0", now)
	if s == nil || live != streamEnding {
		t.Errorf("a live stream is waited for %s", live)
	}
	if _, live = streams.result("0", now.Add(streamEnding)); live == 0 {
		t.Error("a stream that is told to end has ended")
	}
	select {
	case <-s.over:
	default:
		t.Error("a stream whose time is over is followed on")
	}
	streams.drop("0") // which its goroutine does when it ends
	streams.finish(<-streams.asked)
	if streams.open(pod(streamsAtOnce), 1<<20, streamsAtOnce) == nil {
		t.Error("a stream that was dropped makes no room")
	}
}
