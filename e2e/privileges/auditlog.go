package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// request is an event of an audit log, of audit.k8s.io/v1.
type request struct {
	Verb        string            `json:"verb"`
	RequestURI  string            `json:"requestURI"`
	User        user              `json:"user"`
	ObjectRef   *objectRef        `json:"objectRef"` // nil for a request for no resource
	ReceivedAt  string            `json:"requestReceivedTimestamp"`
	Annotations map[string]string `json:"annotations"`
}

type user struct {
	Username string `json:"username"`
}

type objectRef struct {
	APIGroup    string `json:"apiGroup"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
}

// decisionAnnotation is where the API server records what its authorizer has decided: allow or forbid.
const decisionAnnotation = "authorization.k8s.io/decision"

// isDenied reports whether the API server did not authorize the request. A quota or another admission check that
// refuses a request also answers 403, but the request was authorized.
func (r *request) isDenied() bool { return r.Annotations[decisionAnnotation] == "forbid" }

// action is what the request did. The action of a request for no resource, such as /version, has the path as resource.
func (r *request) action() action {
	if r.ObjectRef == nil {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return action{verb: r.Verb, resource: path}
	}
	a := action{verb: r.Verb, group: r.ObjectRef.APIGroup, resource: r.ObjectRef.Resource, name: r.ObjectRef.Name}
	if r.ObjectRef.Subresource != "" {
		a.resource += "/" + r.ObjectRef.Subresource
	}
	return a
}

// namespace is empty for a request for all namespaces, or for an object of the cluster.
func (r *request) namespace() string {
	if r.ObjectRef == nil {
		return ""
	}
	return r.ObjectRef.Namespace
}

// readLog calls judge with each request of an audit log.
func readLog(file string, judge func(*request)) error {
	log, err := os.Open(file)
	if err != nil {
		return err
	}
	defer log.Close()
	lines := bufio.NewReader(log)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // an incomplete line is of a request that is just ending
		} else if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("line %d of %s is no event of an audit log: %w", n, file, err)
		}
		judge(&r)
	}
}
