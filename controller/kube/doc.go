// Package kube interprets errors and times from the API server. It also has the requests that several packages send:
// RemoveFinalizer and PatchStatus.
package kube
