package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed templates/audit.yaml
var auditPolicy []byte

func (c *Cluster) auditPolicy() string { return c.pkiFile("audit-policy", "yaml") }

// auditLog is where the API server records the requests of service accounts, one JSON object per line.
func (c *Cluster) auditLog() string { return c.path("log", "audit.jsonl") }

// auditArgs are the API server's arguments for its audit log. A file is full at 1000 MB; the API server then renames it
// to audit-TIME.jsonl and keeps it. It writes each event when the request ends, instead of in batches, so that the log
// is complete as soon as the clients have stopped.
func auditArgs(c *Cluster) []string {
	return []string{
		"--audit-policy-file=" + c.auditPolicy(), "--audit-log-path=" + c.auditLog(),
		"--audit-log-mode=blocking", "--audit-log-maxsize=1000",
	}
}

// prepareAudit writes the policy and removes the logs of an earlier cluster in this directory.
func prepareAudit(c *Cluster) error {
	old, err := filepath.Glob(c.path("log", "audit*.jsonl"))
	if err != nil {
		return fmt.Errorf("listing old audit logs: %w", err)
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("removing an old audit log: %w", err)
		}
	}
	return writeAtomic(c.auditPolicy(), auditPolicy)
}
