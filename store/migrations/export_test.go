package migrations

import (
	"context"
	"testing/fstest"
)

// ApplyFiles migrates with these files instead of the embedded ones.
func ApplyFiles(ctx context.Context, url string, files map[string]string) error {
	dir := fstest.MapFS{}
	for name, text := range files {
		dir[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Set{Files: dir, Schema: core.Schema, Lock: core.Lock}.Apply(ctx, url)
}
