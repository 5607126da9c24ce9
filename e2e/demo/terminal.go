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

// ansi is how a terminal writes a style.
var ansi = map[style]string{
	styleDim: "\x1b[2m", styleBold: "\x1b[1m", styleGood: "\x1b[32m", styleBusy: "\x1b[36m", styleRetry: "\x1b[33m", styleBad: "\x1b[31m",
}

const (
	ansiReset      = "\x1b[0m"
	ansiClearLine  = "\x1b[2K"
	ansiClearBelow = "\x1b[J"
	ansiHideCursor = "\x1b[?25l"
	ansiShowCursor = "\x1b[?25h"
)

// The size of what is no terminal.
const (
	defaultColumns = 80
	defaultRows    = 24
)

// A terminal is where the demo is shown. What is no terminal gets plain lines and nothing is drawn over.
type terminal struct {
	file  *os.File
	live  bool // lines can be drawn over
	color bool

	mu      sync.Mutex
	width   int
	height  int
	redrawn int // lines of the last redraw, to be drawn over
}

// newTerminal looks at what it is given.
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

// measure asks for the terminal's size, and whether it is one.
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

// columns is the width that lines are made for.
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

// render writes a line with its styles.
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

// write writes once, so that a line is never seen half. Who closed the terminal does not look.
func (t *terminal) write(text string) { _, _ = t.file.WriteString(text) }

func (t *terminal) line(l line)       { t.write(t.render(l) + "\n") }
func (t *terminal) print(text string) { t.write(text + "\n") }

func (t *terminal) lines(lines []line) {
	for _, l := range lines {
		t.line(l)
	}
}

// heading writes the title of what follows.
func (t *terminal) heading(text string) {
	t.line(nil)
	t.line(line{{styleBold, " " + text}})
	t.line(nil)
}

// failure writes an error, and the end of the log that tells more.
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

// redraw draws lines over those of the last redraw.
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

// settle ends redrawing: the lines stay, or go when keep is false.
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
	// speakEvery is how often what is no terminal is told how a step goes on.
	speakEvery = 15 * time.Second
)

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// busy says that something goes on, until ctx ends.
func (t *terminal) busy(ctx context.Context, doing string, began time.Time, p *progress) {
	tick := time.NewTicker(spinnerEvery)
	defer tick.Stop()
	defer t.settle(false)
	spoken := began
	for turn := 0; ; turn++ {
		said, took := p.last(), time.Since(began)
		switch {
		case t.live:
			t.redraw([]line{line{{styleBusy, " " + spinner[turn%len(spinner)] + " "}, {stylePlain, doing}, {stylePlain, " " + seconds(took)}, {styleDim, "  " + said}}.cut(t.columns())})
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
