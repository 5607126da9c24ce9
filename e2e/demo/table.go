package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"kontroler/apis/kontroler/v1alpha1"
)

// mark is the symbol of a phase.
type mark struct {
	glyph string
	style style
	word  string
}

// markOf returns the mark of a task.
func markOf(t *taskRow) mark {
	switch t.Phase {
	case "Succeeded":
		return mark{"●", styleGood, "succeeded"}
	case "Failed":
		return mark{"✕", styleBad, "failed"}
	case "Skipped":
		return mark{"⤼", styleDim, "skipped"}
	case "Cancelled":
		return mark{"■", styleDim, "cancelled"}
	case "Active":
		if t.Attempts > 1 {
			return mark{"↻", styleRetry, "running"}
		}
		if t.Live != "Running" {
			return mark{"◐", styleDim, "starting"}
		}
		return mark{"◐", styleBusy, "running"}
	case "Ready":
		if t.Reason == "BackingOff" {
			return mark{"↻", styleRetry, "to run"}
		}
	}
	return mark{"○", styleDim, "waiting"}
}

func markOfRun(phase string) mark {
	switch v1alpha1.RunPhase(phase) {
	case v1alpha1.RunSucceeded:
		return mark{"●", styleGood, phase}
	case v1alpha1.RunFailed:
		return mark{"✕", styleBad, phase}
	case v1alpha1.RunCancelled:
		return mark{"■", styleDim, phase}
	case v1alpha1.RunRunning:
		return mark{"◐", styleBusy, phase}
	}
	return mark{"○", styleDim, phase}
}

// table shows the progress of a run, its tasks by layers, and the schedules. It has at most height lines; if there are
// more, it leaves out tasks that succeeded.
func table(g *graph, s *snapshot, width, height int) []line {
	lines := []line{header(&s.Run, s.Now, width), nil}
	names := 0
	for _, t := range s.Tasks {
		names = max(names, count(t.Name))
	}
	byName := tasksByName(s)
	beside := scheduleLines(s, width)
	hide := len(s.Tasks) + len(lines) + len(beside) - height
	hidden := 0
	for l, layer := range g.layers {
		number := fmt.Sprint(l + 1)
		for _, task := range layer {
			t := byName[g.nodes[task].name]
			if t == nil {
				continue
			}
			if t.Phase == "Succeeded" && hidden < hide {
				hidden++
				continue
			}
			m := markOf(t)
			lines = append(lines, line{
				{styleDim, fmt.Sprintf(" %3s ", number)}, {m.style, m.glyph}, {stylePlain, " " + pad(t.Name, names)},
				{
					stylePlain, fmt.Sprintf(" %7s", lasted(t.Started, t.Finished, s.Now)),
				}, {styleDim, "  " + remark(g, t, byName, s.Now)},
			}.cut(width))
			number = ""
		}
	}
	if hidden > 0 {
		lines[1] = line{{styleDim, fmt.Sprintf("     … %d succeeded", hidden)}}
	}
	lines = append(lines, beside...)
	return lines[:min(len(lines), height)]
}

// scheduleLines returns an empty line and a line for each schedule.
func scheduleLines(s *snapshot, width int) []line {
	var lines []line
	for i := range s.Schedules {
		if i == 0 {
			lines = append(lines, nil)
		}
		lines = append(lines, scheduleLine(&s.Schedules[i], s.Now).cut(width))
	}
	return lines
}

func scheduleLine(s *scheduleRow, now time.Time) line {
	text := fmt.Sprintf("   %s, runs: %d", s.Expression, s.Ran)
	if !s.LastDue.IsZero() {
		text += ", last due " + seconds(now.Sub(s.LastDue)) + " ago"
	}
	return line{{stylePlain, " "}, {styleBusy, "↺"}, {stylePlain, " " + s.DAG}, {styleDim, text}}
}

// header returns the line of the run: name, phase, progress bar, time.
func header(r *runRow, now time.Time, width int) line {
	m := markOfRun(r.Phase)
	left := line{
		{stylePlain, " "}, {styleBold, r.Name}, {stylePlain, "  "}, {m.style, m.glyph + " " + r.Phase},
		{stylePlain, "  "},
	}
	right := fmt.Sprintf("  %d/%d tasks %7s", r.Done, r.Total, lasted(r.Admitted, r.Finished, now))
	room := width - left.count() - count(right)
	return append(append(left, bar(r.Done, r.Total, min(room, 40), m.style)...), span{stylePlain, right}).cut(width)
}

// bar returns a progress bar.
func bar(done, total, width int, s style) line {
	if width < 4 || total == 0 {
		return nil
	}
	full := done * width / total
	return line{{s, strings.Repeat("━", full)}, {styleDim, strings.Repeat("─", width-full)}}
}

// remark explains the phase of a task.
func remark(g *graph, t *taskRow, byName map[string]*taskRow, now time.Time) string {
	switch t.Phase {
	case "Waiting":
		var unmet []string
		for _, parent := range g.nodes[g.index[t.Name]].parents {
			if p := byName[g.nodes[parent].name]; p != nil && p.Phase != "Succeeded" {
				unmet = append(unmet, p.Name)
			}
		}
		return "needs " + strings.Join(unmet, ", ")
	case "Ready":
		if t.Reason == "BackingOff" {
			return fmt.Sprintf("again in %.0fs: %s", max(0, t.Due.Sub(now).Seconds()), t.Message)
		}
		return because(t.Reason, t.Message)
	case "Active":
		said := because(t.Reason, t.Message)
		switch {
		case t.Live == "Decided" && said == "":
			said = "creating its Pod"
		case t.Live == "Stopping" && said == "":
			said = "stopping"
		}
		if t.Attempts > 1 {
			return strings.TrimSuffix(fmt.Sprintf("attempt %d, %s", t.Attempts, said), ", ")
		}
		return said
	case "Succeeded":
		if t.Attempts > 1 {
			return fmt.Sprintf("at attempt %d", t.Attempts)
		}
		return ""
	}
	return because(t.Reason, t.Message)
}

// because joins a reason and its message.
func because(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// events returns lines for the changes between two snapshots. They replace the table where there is no terminal.
func events(g *graph, before, after *snapshot) []line {
	var lines []line
	old := map[string]*taskRow{}
	if before != nil {
		old = tasksByName(before)
	}
	byName := tasksByName(after)
	names := 0
	for i := range after.Tasks {
		names = max(names, count(after.Tasks[i].Name))
	}
	for i := range after.Tasks {
		t := &after.Tasks[i]
		if !isNews(old[t.Name], t) {
			continue
		}
		m := markOf(t)
		text := m.word
		if !t.Finished.IsZero() && !t.Started.IsZero() {
			text += " after " + seconds(t.Finished.Sub(t.Started))
		}
		switch said := remark(g, t, byName, after.Now); {
		case t.Phase == "Ready":
			text += " " + said
		case said != "":
			text += ", " + said
		}
		lines = append(lines, line{{styleDim, fmt.Sprintf("%8s  ", seconds(after.Now.Sub(after.Run.Admitted)))},
			{m.style, m.glyph}, {stylePlain, " " + pad(t.Name, names) + "  " + text}})
	}
	return append(lines, ticked(before, after)...)
}

// ticked returns the lines of the schedules that have created a run.
func ticked(before, after *snapshot) []line {
	ran := map[string]int{}
	if before != nil {
		for _, s := range before.Schedules {
			ran[s.DAG] = s.Ran
		}
	}
	var lines []line
	for i := range after.Schedules {
		if s := &after.Schedules[i]; s.Ran > ran[s.DAG] {
			lines = append(lines,
				append(line{{styleDim, fmt.Sprintf("%8s ", seconds(after.Now.Sub(after.Run.Admitted)))}},
					scheduleLine(s, after.Now)...))
		}
	}
	return lines
}

// isNews reports whether a change has a line: the container runs, the task has ended, or it will be retried.
func isNews(before, t *taskRow) bool {
	switch t.Phase {
	case "Waiting":
		return false
	case "Ready":
		return t.Reason == "BackingOff" && (before == nil || before.Reason != t.Reason)
	case "Active":
		return t.Live == "Running" && (before == nil || before.Live != t.Live || before.Attempts != t.Attempts)
	}
	return before == nil || before.Phase != t.Phase
}

func tasksByName(s *snapshot) map[string]*taskRow {
	tasks := make(map[string]*taskRow, len(s.Tasks))
	for i := range s.Tasks {
		tasks[s.Tasks[i].Name] = &s.Tasks[i]
	}
	return tasks
}

// lasted returns how long something has taken until now or its end. It is empty before the beginning.
func lasted(from, to, now time.Time) string {
	if from.IsZero() {
		return ""
	}
	if to.IsZero() {
		to = now
	}
	return seconds(to.Sub(from))
}

// seconds formats a duration.
func seconds(d time.Duration) string {
	if d = max(0, d).Round(100 * time.Millisecond); d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}

// style is the meaning of a span of text. The terminal decides how it looks.
type style int

const (
	stylePlain style = iota
	styleDim
	styleBold
	styleGood
	styleBusy
	styleRetry
	styleBad
)

// line is text with styles. Each character is one column wide.
type line []span

type span struct {
	Style style
	Text  string
}

func count(text string) int { return utf8.RuneCountInString(text) }

func (l line) count() int {
	n := 0
	for _, s := range l {
		n += count(s.Text)
	}
	return n
}

// cut shortens a line to a width.
func (l line) cut(width int) line {
	if l.count() <= width {
		return l
	}
	room := width - 1
	var short line
	for _, s := range l {
		if n := count(s.Text); n < room {
			short, room = append(short, s), room-n
			continue
		}
		return append(short, span{s.Style, string([]rune(s.Text)[:room]) + "…"})
	}
	return short
}

func (l line) String() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.Text)
	}
	return strings.TrimRight(b.String(), " ")
}

// pad pads a text with blanks to a width.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-count(text)))
}
