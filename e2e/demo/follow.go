package main

import (
	"context"
	"fmt"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	readInterval = 200 * time.Millisecond
	admitTimeout = 30 * time.Second
	runTimeout   = 10 * time.Minute
)

// follow shows a run until it has ended, and returns its final rows.
func (d *demo) follow(ctx context.Context, g *graph, run *v1alpha1.DagRun) (*snapshot, error) {
	d.out.heading("DagRun " + run.Name + " of DAG " + run.Spec.DagName)
	defer d.out.settle(true)
	began := time.Now()
	var before *snapshot
	for {
		now, err := d.database.read(ctx, string(run.UID))
		if err != nil {
			return nil, err
		}
		if now != nil {
			d.draw(g, before, now)
			if now.Run.ended() {
				return now, nil
			}
			before = now
		}
		switch waited := time.Since(began); {
		case now == nil && waited > admitTimeout:
			return nil, withLog(
				fmt.Errorf("DagRun %q was not admitted within %s", run.Name, admitTimeout), d.controller.log)
		case waited > runTimeout:
			return nil, withLog(fmt.Errorf("DagRun %q has not ended after %s", run.Name, runTimeout), d.controller.log)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-d.controller.done:
			return nil, d.controller.failure("the controller ended")
		case <-time.After(readInterval):
		}
	}
}

func (d *demo) draw(g *graph, before, now *snapshot) {
	if d.out.live {
		d.out.redraw(table(g, now, d.out.columns(), d.out.rows()-1))
		return
	}
	d.out.lines(events(g, before, now))
	if now.Run.ended() {
		d.out.line(header(&now.Run, now.Now, d.out.columns()))
	}
}
