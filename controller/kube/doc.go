// Package kube interprets what the API server sends: the errors of its answers, its times. It sends one request itself:
// RemoveFinalizer.
package kube
