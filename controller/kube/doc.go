// Package kube interprets what the API server sends: the errors of its answers, its times. It also sends what several
// packages send: RemoveFinalizer and PatchStatus.
package kube
