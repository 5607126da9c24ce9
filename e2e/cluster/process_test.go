package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	stat := "42 (a) b (c) R 1 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2"
	p, state, err := parseStat([]byte(stat))
	if err != nil || p != (process{PID: 42, Start: 987654}) || state != "R" {
		t.Errorf("parseStat = %+v, %q, %v", p, state, err)
	}
	if _, _, err := parseStat([]byte("42 (cut")); err == nil {
		t.Error("parseStat accepts a cut line")
	}
}

func TestKillEndsOnlyTheOneRecorded(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p, err := findProcess(strconv.Itoa(cmd.Process.Pid))
	if err != nil || !p.alive() {
		t.Fatalf("findProcess = %+v, %v", p, err)
	}
	earlier := process{PID: p.PID, Start: p.Start - 1}
	if err := earlier.kill(ctx); err != nil || !p.alive() {
		t.Fatalf("an earlier process of the same pid: %v, and the present one is alive: %v", err, p.alive())
	}
	if err := p.kill(ctx); err != nil || p.alive() {
		t.Fatalf("kill: %v, alive: %v", err, p.alive())
	}
}

func TestRecord(t *testing.T) {
	c := &Cluster{Dir: t.TempDir()}
	if err := os.Mkdir(c.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.record("part"); err != nil {
		t.Fatal(err)
	}
	parts, err := c.recorded()
	if err != nil || parts["part"].PID != os.Getpid() || !parts["part"].alive() {
		t.Errorf("recorded = %v, %v", parts, err)
	}
}
