// Package text bounds and cleans texts that are stored or shown.
package text
