package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// shownLines is how many lines of each log are shown, the last ones.
const shownLines = 2

// printResult prints logs, the DAG and the counts of rows and Pods.
func (d *demo) printResult(ctx context.Context, g *graph, s *snapshot, logs []attemptLog) {
	d.out.heading("Logs")
	d.out.lines(highlights(s, logs, d.out.columns()))
	d.out.heading("The DAG")
	d.out.lines(picture(g, notes(g, s), d.out.columns()))
	d.out.heading("Rows and Pods")
	d.out.lines(rowLines(s))
	if n, err := d.database.count(ctx); err != nil {
		d.out.failure(err)
	} else {
		d.out.print(fmt.Sprintf("   rows        %d, to be read in schema kontroler_v1", n))
	}
	d.printPods(ctx)
}

// podsGone is how long the deletion of the last Pods may take after the end of the run.
const podsGone = 10 * time.Second

// printPods prints how many Pods the DAG still has.
func (d *demo) printPods(ctx context.Context) {
	for began := time.Now(); ; {
		pods, err := d.node.kube.CoreV1().Pods(namespace).List(ctx,
			metav1.ListOptions{LabelSelector: v1alpha1.LabelDAG + "=" + dagName})
		switch {
		case err != nil:
			d.out.failure(fmt.Errorf("counting Pods: %w", err))
			return
		case len(pods.Items) == 0:
			d.out.print("   Pods        0: each was deleted when its outcome was in the database")
			return
		case time.Since(began) > podsGone:
			d.out.print(fmt.Sprintf("   Pods        %d, which are still being deleted", len(pods.Items)))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// highlights returns the last lines of the log of each attempt, in the order in which the attempts ended.
func highlights(s *snapshot, logs []attemptLog, width int) []line {
	names := 0
	for _, t := range s.Tasks {
		names = max(names, count(t.Name))
	}
	tasks := tasksByName(s)
	var lines []line
	for _, a := range s.Attempts {
		at := slices.IndexFunc(logs, func(l attemptLog) bool { return l.Task == a.Task && l.Number == a.Number })
		if at < 0 || len(logs[at].Lines) == 0 {
			continue
		}
		who := a.Task
		if t := tasks[a.Task]; t != nil && t.Attempts > 1 {
			who = fmt.Sprintf("%s, attempt %d", a.Task, a.Number)
		}
		m := markOf(&taskRow{Phase: a.Phase})
		kept := logs[at].Lines
		for _, text := range kept[max(0, len(kept)-shownLines):] {
			lines = append(lines,
				line{
					{m.style, " " + m.glyph + " "}, {styleDim, pad(who, names+11) + "  "}, {stylePlain, text},
				}.cut(width))
		}
	}
	return lines
}

// notes returns the notes of the tasks in the final picture.
func notes(g *graph, s *snapshot) []note {
	tasks := tasksByName(s)
	all := make([]note, len(g.nodes))
	for i := range g.nodes {
		t := tasks[g.nodes[i].name]
		if t == nil {
			t = &taskRow{Phase: "Waiting"}
		}
		text := lasted(t.Started, t.Finished, s.Now)
		if t.Attempts > 1 {
			text += fmt.Sprintf(" ×%d", t.Attempts)
		}
		all[i] = note{markOf(t), text}
	}
	return all
}

// rowLines returns the counts of a run.
func rowLines(s *snapshot) []line {
	phases := func(of []string) string {
		counts := map[string]int{}
		for _, phase := range of {
			counts[phase]++
		}
		names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
			return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
		})
		for i, phase := range names {
			names[i] = fmt.Sprintf("%d %s", counts[phase], phase)
		}
		return strings.Join(names, ", ")
	}
	var tasks, attempts []string
	var worked time.Duration
	for _, t := range s.Tasks {
		tasks = append(tasks, t.Phase)
	}
	for _, a := range s.Attempts {
		phase := a.Phase
		if a.ExitCode.Valid && a.ExitCode.Int32 != 0 {
			phase += fmt.Sprintf(" (exit code %d)", a.ExitCode.Int32)
		}
		attempts = append(attempts, phase)
		if !a.Started.IsZero() && !a.Finished.IsZero() {
			worked += a.Finished.Sub(a.Started)
		}
	}
	m := markOfRun(s.Run.Phase)
	took := lasted(s.Run.Admitted, s.Run.Finished, s.Now)
	return []line{
		{
			{stylePlain, "   run         "}, {m.style, m.glyph + " " + s.Run.Phase},
			{stylePlain, fmt.Sprintf(" in %s; its containers ran for %s", took, seconds(worked))},
		},
		{{stylePlain, fmt.Sprintf("   tasks       %d: %s", len(tasks), phases(tasks))}},
		{{stylePlain, fmt.Sprintf("   attempts    %d: %s", len(attempts), phases(attempts))}},
	}
}

// printNext prints commands to try.
func (d *demo) printNext() {
	d.out.heading("Try next, in another terminal")
	if d.node.kubeconfig != "" {
		d.command("export KUBECONFIG=" + d.node.kubeconfig)
		if _, err := exec.LookPath("kubectl"); err != nil {
			d.command("export PATH=" + d.node.binaries + ":$PATH")
		}
	}
	d.command("kubectl -n " + namespace + " get dags,dagruns  # heartbeat runs every ten seconds")
	d.command("kubectl create -f " + demoRun + "  # one task fails")
	d.command("kubectl -n " + namespace + " get dagruns -w")
	d.command("kubectl explain dag.spec.task")
	if d.node.kubeconfig != "" {
		d.command("kubectl apply -f manifests/examples/diamond.yaml")
	}
	d.command("export " + d.database.environment())
	d.command(psql() + " -c 'SELECT name, phase, reason FROM kontroler_v1.tasks'")
	d.out.heading("The server")
	d.command("export URL=" + d.server.url + "/api/v1")
	d.command(fmt.Sprintf("TOKEN=$(curl -s -u %s:%s -X POST $URL/auth/login | jq -r .token)",
		d.server.user, d.server.password))
	d.command(`curl -s -H "Authorization: Bearer $TOKEN" "$URL/runs?limit=3"`)
	d.out.line(nil)
	d.out.line(line{{
		styleDim, " The controller and the server write to " + filepath.Join(d.dir, "{controller,server}.log"),
	}})
	d.printUI()
	d.out.print(" Press Ctrl-C to stop everything.")
}

// printUI prints how to sign in. It is the last thing on the screen.
func (d *demo) printUI() {
	address := d.ui
	if address == "" {
		address = "not built: make web says what it needs"
	}
	d.out.heading("The UI")
	d.out.print("   address     " + address)
	d.out.print("   user        " + d.server.user)
	d.out.print("   password    " + d.server.password)
	if d.ui != "" {
		d.out.line(line{{
			styleDim, "   Trigger the DAG invoices. A task fails: its log says why. Correct the DAG, and run it again.",
		}})
	}
	d.out.line(nil)
}

func (d *demo) command(text string) { d.out.line(line{{styleDim, "   $ "}, {stylePlain, text}}) }

// psql returns the name of PostgreSQL's client, or its path if it is not on the PATH.
func psql() string {
	if _, err := exec.LookPath("psql"); err == nil {
		return "psql"
	}
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/psql"); err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	return "psql"
}
