package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

const (
	controllerBinary = "bin/controller"
	readyTimeout     = time.Minute
)

// startController starts the controller and waits until it is ready: caches synced, database reachable.
func (d *demo) startController(ctx context.Context, _ func(string)) (string, error) {
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	args := []string{"--health-address", address, "--metrics-address", address, "--reader-roles", serverRole}
	env := []string{"DATABASE_URL=" + d.database.url}
	if d.node.kubeconfig != "" {
		env = append(env, "KUBECONFIG="+d.node.kubeconfig)
	}
	if d.current {
		args = append(args, "--controller-class", d.class(), "--namespaces", namespace, "--lease-namespace", namespace)
	}
	d.controller, err = start(filepath.Join(d.dir, "controller.log"), env, controllerBinary, args...)
	if err != nil {
		return "", err
	}
	d.atEnd("controller stopped", d.controller.stop)
	if d.current {
		d.atEnd("runs deleted, their Pods gone", d.deleteRuns)
	}
	if err := ready(ctx, "controller", d.controller, "http://"+address+"/readyz"); err != nil {
		return "", err
	}
	return "controller ready; it serves http://" + address + "/metrics", nil
}

// class is the class of the demo's controller, so that no other controller of the user's cluster claims its DAGs.
func (d *demo) class() string { return filepath.Base(d.dir) }

// ready waits until a program is ready.
func ready(ctx context.Context, name string, p *process, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		last := probe(ctx, client, url)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.failure("the " + name + " ended")
		case <-ctx.Done():
			return withLog(fmt.Errorf("the %s is not ready after %s: %w", name, readyTimeout, last), p.log)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// freeAddress returns an unused port of the loopback interface.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
