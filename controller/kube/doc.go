// Package kube interprets what the API server sends: the errors of its answers, its times. It sends nothing.
package kube
