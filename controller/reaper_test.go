package controller

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodReaper(t *testing.T) {
	r := newRoad(t)
	for _, cases := range []map[string]roadCase{finishedPods, strays} {
		r.try(t, cases, func(ctx context.Context, f *fixture, of string) error {
			return f.pods.sync(ctx, f.podKey(of))
		})
	}
}

func archiving(cfg *Config) { cfg.LogLimit = 1 << 20 }

// finishedPods are Pods whose attempt ended with them.
var finishedPods = map[string]roadCase{
	"a Pod whose outcome is counted is deleted, and then released": {
		before: func(f *fixture) { f.ended(0) },
		of:     "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"delete pod a.1", "patch pod a.1"},
		},
	},
	"the log is kept before the Pod is deleted": {
		config: archiving,
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("get log of pod a.1", answer{text: "2026-01-01T00:00:00Z a line\n"})
		},
		of: "a.1",
		want: world{
			Rows: []string{
				"run r is Succeeded",
				"task a is Succeeded",
				"attempt a.1 is Succeeded",
				"log of a.1 is Captured",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"get log of pod a.1", "delete pod a.1", "patch pod a.1"},
		},
	},
	"after a restart, its row says all about a Pod": {
		config: archiving,
		before: func(f *fixture) {
			f.ended(0)
			f.restart()
			f.api.answer("get log of pod a.1", answer{text: "2026-01-01T00:00:00Z a line\n"})
		},
		of: "a.1",
		want: world{
			Rows: []string{
				"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded", "log of a.1 is Captured",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"get log of pod a.1", "delete pod a.1", "patch pod a.1"},
		},
	},
	"a Pod whose log could not be read at first is finished by its row": {
		config: archiving,
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("get log of pod a.1", answer{err: unavailable})
			must(f.T, f.pods.sync(f.Context(), f.podKey("a.1")))
			f.api.answer("get log of pod a.1", answer{text: "2026-01-01T00:00:00Z a line\n"})
		},
		of: "a.1",
		want: world{
			Rows: []string{
				"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded", "log of a.1 is Captured",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"get log of pod a.1", "delete pod a.1", "patch pod a.1"},
		},
	},
	"a Pod whose log cannot be read yet stays": {
		config: archiving,
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("get log of pod a.1", answer{err: unavailable})
		},
		of: "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"get log of pod a.1"},
		},
	},
	"a Pod whose attempt is live stays": {
		before: func(f *fixture) {
			f.running(single)
			f.exit("a.1", 0)
		},
		of: "a.1",
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects: []string{"dagrun r is Running, claimed", "pod a.1"},
			Pending: []string{"pod a.1", "created pod a.1"},
		},
	},
	"a Pod that a user deleted is only released": {
		before: func(f *fixture) {
			f.ended(0)
			err := f.road.kube.CoreV1().Pods(f.road.namespace).
				Delete(f.Context(), f.nameOf("a.1"), metav1.DeleteOptions{})
			must(f.T, err)
			f.showCluster()
		},
		of: "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"patch pod a.1"},
		},
	},
	"a Pod that is gone needs nothing": {
		before: func(f *fixture) {
			f.ended(0)
			f.removePod("a.1")
			f.showCluster()
		},
		of: "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"get pod a.1"},
		},
	},
	"a Pod that another process releases at the same time needs nothing": {
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("delete pod a.1", answer{before: func() { f.removePod("a.1") }})
		},
		of: "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"delete pod a.1", "patch pod a.1"},
		},
	},
	"another Pod that took the name of a released Pod is left alone": {
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("delete pod a.1", answer{before: func() {
				f.removePod("a.1")
				f.foreignPod("a.1")
			}})
		},
		of: "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1, without finalizer, without labels"},
			Requests: []string{"delete pod a.1", "patch pod a.1", "get pod a.1"},
		},
	},
	"a Pod whose release the cache does not show yet is not released again": {
		before: func(f *fixture) {
			f.ended(0)
			must(f.T, f.pods.sync(f.Context(), f.podKey("a.1")))
		},
		of: "a.1",
		want: world{
			Rows:    []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects: []string{"dagrun r is Running, claimed"},
		},
	},
	"a Pod that lost its labels is released by a live read": {
		before: func(f *fixture) {
			f.ended(0)
			f.hide("a.1")
		},
		of: "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"get pod a.1", "delete pod a.1", "patch pod a.1"},
		},
	},
	"a finalizer that the API server fails to remove is removed by the next sync": {
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("patch pod a.1", answer{err: unavailable})
		},
		of: "a.1",
		want: world{
			Err:      "removing the finalizer of pod ns/a.1: Internal error occurred: as the test wants it",
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1 is being deleted"},
			Requests: []string{"delete pod a.1", "patch pod a.1"},
		},
	},
}

// strays are Pods that no row expects.
var strays = map[string]roadCase{
	"a Pod of ours that appears for an attempt that has ended is a stray: it is recorded and deleted": {
		before: func(f *fixture) {
			f.ended(0)
			f.replacePod("a.1")
		},
		of: "a.1",
		want: world{
			Rows: []string{
				"run r is Succeeded",
				"task a is Succeeded",
				"attempt a.1 is Succeeded, with a stray Pod",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"delete pod a.1", "patch pod a.1"},
		},
	},
	"another's Pod with the name of an ended attempt's Pod stays": {
		before: func(f *fixture) {
			f.ended(0)
			f.removePod("a.1")
			f.foreignPod("a.1")
			f.showCluster()
		},
		of: "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1, without finalizer, without labels"},
			Requests: []string{"get pod a.1"},
		},
	},
	"a stray without our finalizer was released before, and stays": {
		before: func(f *fixture) {
			f.ended(0)
			f.replacePod("a.1")
			f.patchPod("a.1", `{"metadata":{"finalizers":null}}`)
			f.showCluster()
		},
		of: "a.1",
		want: world{
			Rows:    []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects: []string{"dagrun r is Running, claimed", "pod a.1, without finalizer"},
		},
	},
	"a Pod of ours whose run is unknown is deleted: its history was lost": {
		before: func(f *fixture) {
			f.running(single)
			f.road.exec(f.T, `DELETE FROM kontroler.runs WHERE uid = $1`, string(f.key("r")))
		},
		of: "a.1",
		want: world{
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"delete pod a.1", "patch pod a.1"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a Pod of a live run that no attempt names stays": {
		before: func(f *fixture) {
			f.running(single)
			f.road.exec(f.T, `UPDATE kontroler.attempts SET pod_name = 'another' WHERE pod_name = $1`, f.nameOf("a.1"))
		},
		of: "a.1",
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Enqueued: []string{"finished pod a.1 in 1m0s"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a Pod of an ended run that no attempt names is deleted": {
		before: func(f *fixture) {
			f.ended(0)
			f.road.exec(f.T, `UPDATE kontroler.attempts SET pod_name = 'another' WHERE pod_name = $1`, f.nameOf("a.1"))
			f.restart() // its end is not remembered
		},
		of: "a.1",
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"delete pod a.1", "patch pod a.1"},
		},
	},
	"a Pod of an unknown run without our finalizer stays": {
		before: func(f *fixture) {
			f.running(single)
			f.road.exec(f.T, `DELETE FROM kontroler.runs WHERE uid = $1`, string(f.key("r")))
			f.patchPod("a.1", `{"metadata":{"finalizers":null}}`)
			f.showCluster()
		},
		of: "a.1",
		want: world{
			Objects: []string{"dagrun r is Running, claimed", "pod a.1, without finalizer"},
			Pending: []string{"created pod a.1"},
		},
	},
}

// replacePod removes a Pod and creates it again with another UID, as a create does that was delayed.
func (f *fixture) replacePod(word string) {
	f.Helper()
	p := f.pod(word)
	f.removePod(word)
	p.ObjectMeta = metav1.ObjectMeta{
		Name: p.Name, Labels: p.Labels, OwnerReferences: p.OwnerReferences, Finalizers: p.Finalizers,
	}
	p.Spec.NodeName = ""
	_, err := f.road.kube.CoreV1().Pods(f.road.namespace).Create(f.Context(), p, metav1.CreateOptions{})
	must(f.T, err)
	f.showCluster()
}
