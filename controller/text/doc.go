// Package text truncates and cleans texts that are stored or shown.
package text
