package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ansi are the escape sequences of the styles.
var ansi = map[style]string{
	styleDim: "\x1b[2m", styleBold: "\x1b[1m", styleGood: "\x1b[32m", styleBusy: "\x1b[36m",
	styleRetry: "\x1b[33m", styleBad: "\x1b[31m",
}

const (
	ansiReset      = "\x1b[0m"
	ansiClearLine  = "\x1b[2K"
	ansiClearBelow = "\x1b[J"
	ansiHideCursor = "\x1b[?25l"
	ansiShowCursor = "\x1b[?25h"
)

// The size if the output is not a terminal.
const (
	defaultColumns = 80
	defaultRows    = 24
)

// terminal is the output of the demo. If it is not a terminal, it gets plain lines and nothing is redrawn.
type terminal struct {
	file  *os.File
	live  bool // lines can be drawn over
	color bool

	mu      sync.Mutex
	width   int
	height  int
	redrawn int // lines of the last redraw, to be drawn over
}

// newTerminal detects whether file is a terminal.
func newTerminal(file *os.File, env func(string) string) *terminal {
	t := &terminal{file: file, width: defaultColumns, height: defaultRows}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || env("TERM") == "dumb" || env("TERM") == "" || !t.measure() {
		return t
	}
	t.live, t.color = true, env("NO_COLOR") == ""
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	go func() {
		for range resized {
			t.measure()
		}
	}()
	return t
}

// measure reads the size of the terminal. It reports whether there is one.
func (t *terminal) measure() bool {
	stty := exec.Command("stty", "size")
	stty.Stdin = t.file
	out, err := stty.Output()
	if err != nil {
		return false
	}
	var height, width int
	if n, err := fmt.Sscan(string(out), &height, &width); n != 2 || err != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if width > 0 && height > 0 {
		t.width, t.height = width, height
	}
	return true
}

// columns returns the width of lines.
func (t *terminal) columns() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(40, min(t.width, 120))
}

func (t *terminal) rows() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(10, t.height)
}

// render returns a line with its styles.
func (t *terminal) render(l line) string {
	if !t.color {
		return l.String()
	}
	var b strings.Builder
	for _, s := range l {
		if code := ansi[s.Style]; code != "" {
			b.WriteString(code + s.Text + ansiReset)
		} else {
			b.WriteString(s.Text)
		}
	}
	return b.String()
}

// write writes text in one call, so that no partial line appears. Errors mean that nobody reads the output.
func (t *terminal) write(text string) { _, _ = t.file.WriteString(text) }

func (t *terminal) line(l line)       { t.write(t.render(l) + "\n") }
func (t *terminal) print(text string) { t.write(text + "\n") }

func (t *terminal) lines(lines []line) {
	for _, l := range lines {
		t.line(l)
	}
}

// heading prints a title.
func (t *terminal) heading(text string) {
	t.line(nil)
	t.line(line{{styleBold, " " + text}})
	t.line(nil)
}

// failure prints an error and the end of its log.
func (t *terminal) failure(err error) {
	t.line(nil)
	t.line(line{{styleBad, " " + err.Error()}})
	if logged, ok := errors.AsType[*loggedError](err); ok && len(logged.tail) > 0 {
		if logged.path != "" {
			t.line(line{{styleDim, " the end of " + logged.path + ":"}})
		}
		for _, text := range logged.tail {
			t.line(line{{styleDim, "   "}, {stylePlain, text}})
		}
	}
}

// redraw replaces the lines of the last redraw.
func (t *terminal) redraw(lines []line) {
	var b strings.Builder
	b.WriteString(ansiHideCursor)
	if t.redrawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", t.redrawn)
	}
	for _, l := range lines {
		b.WriteString(ansiClearLine + t.render(l) + "\n")
	}
	b.WriteString(ansiClearBelow)
	t.redrawn = len(lines)
	t.write(b.String())
}

// settle ends redrawing. Without keep it removes the lines.
func (t *terminal) settle(keep bool) {
	if !t.live {
		return
	}
	if !keep {
		t.redraw(nil)
	}
	t.redrawn = 0
	t.write(ansiShowCursor)
}

const (
	spinnerEvery = 100 * time.Millisecond
	// speakEvery is how often the progress of a step is printed without a terminal.
	speakEvery = 15 * time.Second
)

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// busy shows that a step is under way, until ctx ends.
func (t *terminal) busy(ctx context.Context, doing string, began time.Time, p *progress) {
	tick := time.NewTicker(spinnerEvery)
	defer tick.Stop()
	defer t.settle(false)
	spoken := began
	for turn := 0; ; turn++ {
		said, took := p.last(), time.Since(began)
		switch {
		case t.live:
			t.redraw([]line{
				line{
					{styleBusy, " " + spinner[turn%len(spinner)] + " "}, {stylePlain, doing},
					{stylePlain, " " + seconds(took)}, {styleDim, "  " + said},
				}.cut(t.columns()),
			})
		case said != "" && time.Since(spoken) >= speakEvery:
			spoken = time.Now()
			t.print("   " + doing + ": " + said)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
