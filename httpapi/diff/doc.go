// Package diff compares JSON values as a reader of manifests does: by names, not by positions. It is pure.
package diff
