package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// undoTimeout limits each step of the cleanup.
const undoTimeout = 90 * time.Second

// undo is a step of the cleanup. A step without a name is not printed.
type undo struct {
	name string
	do   func(context.Context) error
}

// atEnd registers a step of the cleanup. The last one runs first.
func (d *demo) atEnd(name string, do func(context.Context) error) {
	d.undo = append(d.undo, undo{name, do})
}

// takeDown runs the cleanup. It continues after errors, and ignores further Ctrl-C.
func (d *demo) takeDown() {
	if len(d.undo) > 1 {
		d.out.print("")
	}
	for i := len(d.undo) - 1; i >= 0; i-- {
		u := d.undo[i]
		ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
		quiet := func(ctx context.Context, _ func(string)) (string, error) { return u.name, u.do(ctx) }
		var err error
		if u.name == "" {
			err = u.do(ctx)
		} else {
			err = d.step(ctx, u.name, quiet)
		}
		cancel()
		if err != nil {
			d.out.failure(err)
		}
	}
	d.undo = nil
}

// step runs do and shows that it is busy. do reports its progress with say, and returns what it has done.
func (d *demo) step(
	ctx context.Context,
	doing string,
	do func(ctx context.Context, say func(string)) (string, error),
) error {
	began := time.Now()
	progress := &progress{}
	ticking, stop := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() { d.out.busy(ticking, doing, began, progress) })
	did, err := do(ctx, progress.say)
	stop()
	shown.Wait()
	took := seconds(time.Since(began))
	switch {
	case err == nil:
		d.out.line(line{
			{styleGood, " ✓ "}, {stylePlain, pad(did, d.out.columns()-3-8)}, {styleDim, fmt.Sprintf("%7s", took)},
		})
		return nil
	case ctx.Err() != nil:
		d.out.line(line{{styleDim, " ■ " + doing + ": interrupted"}})
	default:
		d.out.line(line{{styleBad, " ✕ "}, {stylePlain, doing}})
	}
	return err
}

// progress is the last report of a step.
type progress struct {
	mu   sync.Mutex
	text string
}

func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

func (p *progress) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text
}

// loggedError is an error with the last lines of a log that explains it.
type loggedError struct {
	err  error
	path string
	tail []string
}

func (e *loggedError) Error() string { return e.err.Error() }
func (e *loggedError) Unwrap() error { return e.err }

// withLog adds the end of a log file to an error.
func withLog(err error, path string) error {
	raw, readErr := os.ReadFile(path)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	return &loggedError{err: err, path: path, tail: tail(string(raw), 15)}
}

// tail returns the last n lines of a text.
func tail(text string, n int) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}
