package install_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"kontroler/apis/kontroler/v1alpha1"
)

// author is a person with a namespace, in which the person is an editor.
type author struct {
	*person
	site      *site
	namespace string
	dag       string
	uids      []string // of the runs
}

// peopleLive lets two people live the whole life of a DAG side by side, with curl. Neither sees a trace of the other.
// The prefix of the namespaces makes them those of one installation.
func (s *site) peopleLive(t *testing.T, at api, prefix string) {
	admin := s.loginAsAdmin(t, at)
	var authors []*author
	for _, name := range []string{"ann", "bob"} {
		a := &author{site: s, namespace: prefix + "-of-" + name, dag: name + "s-report"}
		s.shell(t, "kubectl create namespace "+a.namespace)
		t.Cleanup(func() { s.shell(t, "kubectl delete namespace --wait=false "+a.namespace) })
		const password = "trombone zebra lantern"
		admin.do(t, http.StatusCreated, http.MethodPost, "/users", fmt.Sprintf(
			`{"name": %q, "password": %q, "grants": [{"namespace": %q, "role": "editor"}]}`,
			name, password, a.namespace))
		a.person = at.login(t, name, password)
		authors = append(authors, a)
	}
	together := func(name string, live func(*author, *testing.T)) {
		ok := t.Run(name, func(t *testing.T) {
			for _, a := range authors {
				t.Run(a.name, func(t *testing.T) {
					t.Parallel()
					live(a, t)
				})
			}
		})
		if !ok {
			t.FailNow()
		}
	}
	for i, a := range authors {
		a.follow(t, "/events")
		a.follow(t, "/events?namespace="+authors[1-i].namespace)
	}
	together("write and run", (*author).writeAndRun)
	together("share a task", (*author).shareTask)
	t.Run("strangers", func(t *testing.T) {
		authors[0].lookAt(t, authors[1])
		authors[1].lookAt(t, authors[0])
	})
	together("delete", (*author).delete)
	t.Run("traces", func(t *testing.T) {
		authors[0].checkTraces(t, authors[1])
		authors[1].checkTraces(t, authors[0])
	})
	for _, a := range authors {
		admin.do(t, http.StatusNoContent, http.MethodDelete, "/users/"+a.name, "")
		s.eventually(t, "the end of the session of "+a.name, func() (bool, string) {
			got, err := a.try(t, http.MethodGet, "/auth/me", "")
			return err == nil && got.status == http.StatusUnauthorized, fmt.Sprint(got.status, err)
		})
	}
	audit := admin.do(t, http.StatusOK, http.MethodGet, "/audit?limit=200", "").body
	for _, a := range authors {
		if !strings.Contains(audit, a.namespace) {
			t.Errorf("the audit has nothing of %s: %s", a.name, audit)
		}
	}
}

// path returns the path of something in the namespace.
func (a *author) path(format string, args ...any) string {
	return "/namespaces/" + a.namespace + fmt.Sprintf(format, args...)
}

// manifest returns the DAG. Its second task is a shell script.
func (a *author) manifest(script string) string {
	return fmt.Sprintf(`
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: %s}
spec:
  schedule: "0 0 29 2 *"
  task:
  - {name: prepare, image: "busybox:1.36", command: [echo, "prepared by %s"]}
  - {name: report, image: "busybox:1.36", command: [sh, -c, %q], runAfter: [prepare]}`, a.dag, a.name, script)
}

// started is the answer to a request that starts a run.
type started struct{ Name, UID string }

// ended waits until a run has ended, and returns its phase.
func (a *author) ended(t *testing.T, run started) v1alpha1.RunPhase {
	t.Helper()
	var is struct{ Phase v1alpha1.RunPhase }
	a.site.eventually(t, "the end of run "+run.Name, func() (bool, string) {
		got, err := a.try(t, http.MethodGet, "/runs/"+run.UID, "")
		if err != nil || got.status != http.StatusOK { // no row yet
			return false, fmt.Sprint(got.status, got.body, err)
		}
		is.Phase = ""
		got.decode(t, &is)
		return is.Phase.Ended(), string(is.Phase)
	})
	return is.Phase
}

// running waits until a task of a run has a container.
func (a *author) running(t *testing.T, run started, task string) {
	t.Helper()
	a.site.eventually(t, "task "+task+" of run "+run.Name, func() (bool, string) {
		got, err := a.try(t, http.MethodGet, "/runs/"+run.UID+"/tasks/"+task+"/attempts/1", "")
		return err == nil && strings.Contains(got.body, `"Running"`), fmt.Sprint(got.status, got.body, err)
	})
}

// log reads the log of the first attempt of a task.
func (a *author) log(t *testing.T, run started, task, query string) string {
	t.Helper()
	return a.do(t, http.StatusOK, http.MethodGet, "/runs/"+run.UID+"/tasks/"+task+"/attempts/1/log"+query, "").body
}

// start starts a run.
func (a *author) start(t *testing.T, path, key string) started {
	t.Helper()
	var run started
	got := a.do(t, http.StatusCreated, http.MethodPost, path, "{}", "--header", "Idempotency-Key: "+key)
	got.decode(t, &run)
	if got.header.Get("Location") == "" || run.UID == "" {
		t.Errorf("Location %q, UID %q", got.header.Get("Location"), run.UID)
	}
	a.uids = append(a.uids, run.UID)
	return run
}

// writeAndRun creates a DAG, runs it, follows it, reads why it failed, repairs it and runs it again.
func (a *author) writeAndRun(t *testing.T) {
	a.do(t, http.StatusOK, http.MethodPost, a.path("/dags/validate"), a.manifest("true"))
	a.do(t, http.StatusCreated, http.MethodPost, a.path("/dags"), a.manifest("echo broken; exit 3"))

	run := a.start(t, a.path("/dags/%s/runs", a.dag), "first")
	var again started
	a.do(t, http.StatusOK, http.MethodPost, a.path("/dags/%s/runs", a.dag), "{}", "--header", "Idempotency-Key: first").
		decode(t, &again)
	if again.UID != run.UID {
		t.Errorf("the same key starts %q and %q", run.UID, again.UID)
	}
	if phase := a.ended(t, run); phase != v1alpha1.RunFailed {
		t.Fatalf("the run is %s", phase)
	}
	if log := a.log(t, run, "report", ""); log != "broken\n" {
		t.Errorf("log %q", log)
	}

	// The end of the log comes when the container ends.
	tag := a.do(t, http.StatusOK, http.MethodGet, a.path("/dags/%s", a.dag), "").header.Get("ETag")
	a.do(t, http.StatusPreconditionRequired, http.MethodPut, a.path("/dags/%s", a.dag), a.manifest("true"))
	a.do(t, http.StatusOK, http.MethodPut, a.path("/dags/%s", a.dag), a.manifest("echo begun; sleep 3; echo repaired"),
		"--header", "If-Match: "+tag)
	run = a.start(t, "/runs/"+run.UID+"/again", "second")
	a.running(t, run, "report")
	if log := a.log(t, run, "report", "?follow=true"); log != "begun\nrepaired\n" {
		t.Errorf("log %q", log)
	}
	if phase := a.ended(t, run); phase != v1alpha1.RunSucceeded {
		t.Errorf("the run is %s", phase)
	}
	if log := a.log(t, run, "prepare", ""); log != "prepared by "+a.name+"\n" {
		t.Errorf("log %q", log)
	}
	a.site.eventually(t, "the events of run "+run.UID, func() (bool, string) {
		heard := a.heard()
		return strings.Contains(heard, "event: change") && strings.Contains(heard, `"run":"`+run.UID+`"`), heard
	})
}

// shareTask writes a DagTask, suspends the DAG, and cancels a run.
func (a *author) shareTask(t *testing.T) {
	task := func(word string) string {
		return fmt.Sprintf(`
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DagTask
metadata: {name: %s-task}
spec: {image: "busybox:1.36", command: [echo, %s]}`, a.name, word)
	}
	path := a.path("/dagtasks/%s-task", a.name)
	a.do(t, http.StatusCreated, http.MethodPost, a.path("/dagtasks"), task("one"))
	tag := a.do(t, http.StatusOK, http.MethodGet, path, "").header.Get("ETag")
	a.do(t, http.StatusOK, http.MethodPut, path, task("two"), "--header", "If-Match: "+tag)
	a.do(t, http.StatusOK, http.MethodGet, path+"/users", "")

	for _, verb := range []string{"suspend", "resume"} {
		a.do(t, http.StatusOK, http.MethodPost, a.path("/dags/%s/%s", a.dag, verb), "")
	}
	run := a.start(t, a.path("/dags/%s/runs", a.dag), "third")
	a.running(t, run, "report")
	a.do(t, http.StatusAccepted, http.MethodPost, "/runs/"+run.UID+"/cancel", "")
	if phase := a.ended(t, run); phase != v1alpha1.RunCancelled {
		t.Errorf("the run is %s", phase)
	}
}

// lists are the routes that everybody may read.
var lists = []string{
	"/auth/me", "/auth/tokens", "/namespaces", "/dags", "/dagtasks", "/runs", "/attention", "/statistics", "/upcoming",
	"/pending", "/dags?deleted=true",
}

// requestID is what two answers to the same request differ in.
var requestID = regexp.MustCompile(`"requestId":"[a-z0-9]+"`)

// lookAt reads everything that a person may read, and tries to read and to write what is another's: the answer is the
// one for what does not exist.
func (a *author) lookAt(t *testing.T, other *author) {
	for _, list := range lists {
		got := a.do(t, http.StatusOK, http.MethodGet, list, "")
		if list == "/dags" && !strings.Contains(got.body, a.dag) {
			t.Errorf("the own DAG is missing: %s", got.body)
		}
	}
	for _, path := range []string{"/users", "/audit"} {
		a.do(t, http.StatusForbidden, http.MethodGet, path, "")
	}
	const noUID = "00000000-0000-0000-0000-000000000000"
	for method, paths := range map[string][]string{
		http.MethodGet: {
			"/namespaces/NAMESPACE/dags", "/namespaces/NAMESPACE/dags/DAG", "/namespaces/NAMESPACE/dags/DAG/versions",
			"/namespaces/NAMESPACE/dags/DAG/grid", "/namespaces/NAMESPACE/runs", "/namespaces/NAMESPACE/statistics",
			"/runs/RUN", "/runs/RUN/graph", "/runs/RUN/tasks",
			"/runs/RUN/tasks/report/attempts/1/log",
		},
		http.MethodPost:   {"/namespaces/NAMESPACE/dags/DAG/suspend", "/runs/RUN/cancel", "/runs/RUN/again"},
		http.MethodDelete: {"/namespaces/NAMESPACE/dags/DAG", "/runs/RUN"},
	} {
		for _, path := range paths {
			foreign := strings.NewReplacer(
				"NAMESPACE", other.namespace, "DAG", other.dag, "RUN", other.uids[0]).Replace(path)
			absent := strings.NewReplacer(
				"NAMESPACE", "no-such-namespace", "DAG", "no-such-dag", "RUN", noUID).Replace(path)
			answers := [2]string{}
			for i, path := range []string{foreign, absent} {
				got := a.do(t, http.StatusNotFound, method, path, "")
				answers[i] = requestID.ReplaceAllString(got.body, "")
			}
			if answers[0] != answers[1] {
				t.Errorf("%s %s: another's: %s\nabsent: %s", method, path, answers[0], answers[1])
			}
		}
	}
}

// delete deletes runs, DagTask and DAG. The history stays.
func (a *author) delete(t *testing.T) {
	a.do(t, http.StatusNoContent, http.MethodDelete, "/runs/"+a.uids[0], "")
	a.do(t, http.StatusOK, http.MethodGet, "/runs/"+a.uids[0], "")
	a.do(t, http.StatusNoContent, http.MethodDelete, a.path("/dagtasks/%s-task", a.name), "")
	a.do(t, http.StatusNoContent, http.MethodDelete, a.path("/dags/%s", a.dag), "")
	for list, want := range map[string]bool{"/dags": false, "/dags?deleted=true": true} {
		a.site.eventually(t, "the deleted DAG in "+list, func() (bool, string) {
			got, err := a.try(t, http.MethodGet, list, "")
			return err == nil && strings.Contains(got.body, a.dag) == want, fmt.Sprint(got.status, got.body, err)
		})
	}
	var runs struct{ Items []struct{ UID string } }
	a.get(t, a.path("/runs"), &runs)
	if len(runs.Items) != len(a.uids) {
		t.Errorf("%d runs, want the history of %d", len(runs.Items), len(a.uids))
	}
}

// checkTraces checks that the server has told a person nothing about another.
func (a *author) checkTraces(t *testing.T, other *author) {
	heard := a.heard()
	for _, own := range append([]string{a.namespace, a.dag}, a.uids...) {
		if !strings.Contains(heard, own) {
			t.Errorf("%s has not heard of %s, so the test proves nothing", a.name, own)
		}
	}
	for _, trace := range append([]string{other.namespace, other.dag, `"` + other.name + `"`}, other.uids...) {
		if i := strings.Index(heard, trace); i >= 0 {
			t.Errorf("%s has heard of %s: %s", a.name, trace, heard[max(0, i-300):min(len(heard), i+300)])
		}
	}
}
