package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

const archivedName = "registry.example/team/app:v1"

func TestReadArchive(t *testing.T) {
	named := map[string]string{refNameKey: archivedName}
	here := runtime.GOARCH
	cases := map[string]struct {
		archive func(t *testing.T) []byte
		names   []string
		fault   string // part of the error; empty means none
	}{
		"an image has the name in its annotation": {
			archive: func(t *testing.T) []byte { return archiveOf(t, imageFor(t, here), named) },
			names:   []string{archivedName},
		},
		"the full name that docker writes comes before the tag": {
			archive: func(t *testing.T) []byte {
				return archiveOf(t, imageFor(t, here),
					map[string]string{refNameKey: "v1", fullNameKey: "docker.io/team/app:v1"})
			},
			names: []string{"docker.io/team/app:v1"},
		},
		"an image may have two names": {
			archive: func(t *testing.T) []byte {
				dir := layoutOf(t, imageFor(t, here), named)
				appendTo(t, dir, imageFor(t, here), map[string]string{refNameKey: "localhost/app:dev"})
				return tarOf(t, dir)
			},
			names: []string{archivedName, "localhost/app:dev"},
		},
		"of several platforms it takes that of the nodes": {
			archive: func(t *testing.T) []byte { return archiveOf(t, indexFor(t, "s390x", here), named) },
			names:   []string{archivedName},
		},
		"no image is for the platform of the nodes": {
			archive: func(t *testing.T) []byte { return archiveOf(t, indexFor(t, "s390x", "ppc64le"), named) },
			fault:   "it is for linux/s390x, linux/ppc64le, but the nodes run linux/" + here,
		},
		"an index names no platform": {
			archive: func(t *testing.T) []byte { return archiveOf(t, indexFor(t), named) },
			fault:   "it names no platform",
		},
		"the only image is for another platform": {
			archive: func(t *testing.T) []byte { return archiveOf(t, imageFor(t, "s390x"), named) },
			fault:   "it is for linux/s390x, but",
		},
		"an image has no name": {
			archive: func(t *testing.T) []byte { return archiveOf(t, imageFor(t, here), nil) },
			fault:   "has no name",
		},
		"the name is only a tag": {
			archive: func(t *testing.T) []byte {
				return archiveOf(t, imageFor(t, here), map[string]string{refNameKey: "latest"})
			},
			fault: `has no name: annotation org.opencontainers.image.ref.name is "latest"`,
		},
		"the name is not a reference": {
			archive: func(t *testing.T) []byte {
				return archiveOf(t, imageFor(t, here), map[string]string{refNameKey: "registry.example/App:v1"})
			},
			fault: "invalid name",
		},
		"two images have the same name": {
			archive: func(t *testing.T) []byte {
				dir := layoutOf(t, imageFor(t, here), named)
				appendTo(t, dir, indexFor(t, here), named)
				return tarOf(t, dir)
			},
			fault: "two images that are named " + archivedName,
		},
		"a blob is missing": {
			archive: func(t *testing.T) []byte {
				dir := layoutOf(t, imageFor(t, here), named)
				if err := os.Remove(largestBlob(t, dir)); err != nil {
					t.Fatal(err)
				}
				return tarOf(t, dir)
			},
			fault: "is missing",
		},
		"a blob has another digest": {
			archive: func(t *testing.T) []byte {
				dir := layoutOf(t, imageFor(t, here), named)
				file := largestBlob(t, dir)
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				data[len(data)/2] ^= 1
				if err := os.WriteFile(file, data, 0o644); err != nil {
					t.Fatal(err)
				}
				return tarOf(t, dir)
			},
			fault: "has the digest",
		},
		"the archive is cut off": {
			archive: func(t *testing.T) []byte {
				data := archiveOf(t, imageFor(t, here), named)
				return data[:len(data)/2]
			},
			fault: "the archive is damaged",
		},
		"the archive contains no image": {
			archive: func(t *testing.T) []byte {
				dir := t.TempDir()
				if _, err := layout.Write(dir, empty.Index); err != nil {
					t.Fatal(err)
				}
				return tarOf(t, dir)
			},
			fault: "contains no image",
		},
		"a Docker archive is not an OCI archive": {
			archive: func(t *testing.T) []byte { return tarOf(t, dirWith(t, "manifest.json", "[]")) },
			fault:   "Docker archive",
		},
		"another tar archive is not an OCI archive": {
			archive: func(t *testing.T) []byte { return tarOf(t, dirWith(t, "README.md", "text")) },
			fault:   "not an OCI archive",
		},
		"a compressed archive is refused": {
			archive: func(t *testing.T) []byte {
				var out bytes.Buffer
				w := gzip.NewWriter(&out)
				if _, err := w.Write(archiveOf(t, imageFor(t, here), named)); err != nil {
					t.Fatal(err)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				return out.Bytes()
			},
			fault: "not an uncompressed tar archive",
		},
		"an empty file is refused": {
			archive: func(*testing.T) []byte { return nil },
			fault:   "not an OCI archive",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "archive.tar")
			if err := os.WriteFile(file, c.archive(t), 0o644); err != nil {
				t.Fatal(err)
			}
			images, err := readArchive(file, t.TempDir())
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Fatalf("error %v, want one with %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, named := range images {
				names = append(names, named.name)
				config, err := named.image.ConfigFile()
				if err != nil {
					t.Fatal(err)
				}
				if config.Architecture != runtime.GOARCH {
					t.Errorf("image %s is for %s", named.name, config.Architecture)
				}
			}
			if got, want := strings.Join(names, " "), strings.Join(c.names, " "); got != want {
				t.Errorf("names %s, want %s", got, want)
			}
		})
	}
}

func TestReadArchiveWritesOnlyBlobs(t *testing.T) {
	src := layoutOf(t, imageFor(t, runtime.GOARCH), map[string]string{refNameKey: archivedName})
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range []tar.Header{
		{Name: "../escaped", Typeflag: tar.TypeReg},
		{Name: "blobs/sha256/../../../escaped", Typeflag: tar.TypeReg},
		{Name: "blobs/sha256/" + strings.Repeat("a", 64), Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.AddFS(os.DirFS(src)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	file, dir := filepath.Join(parent, "archive.tar"), filepath.Join(parent, "to", "here")
	if err := os.WriteFile(file, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readArchive(file, dir); err != nil {
		t.Fatal(err)
	}
	for _, unwanted := range []string{"escaped", "to/escaped", "to/here/blobs/sha256/" + strings.Repeat("a", 64)} {
		if _, err := os.Lstat(filepath.Join(parent, unwanted)); err == nil {
			t.Errorf("%s was written", unwanted)
		}
	}
}

func imageFor(t *testing.T, architecture string) v1.Image {
	t.Helper()
	image, err := addFiles(empty.Image,
		[]file{{path: "/app", mode: 0o755, data: []byte("program for " + architecture)}},
		v1.Config{Entrypoint: []string{"/app"}})
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture = architecture
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// indexFor returns an index of images for several platforms, with an attestation, which has no platform.
func indexFor(t *testing.T, architectures ...string) v1.ImageIndex {
	t.Helper()
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: imageFor(t, "attestation")})
	for _, a := range architectures {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        imageFor(t, a),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: a}},
		})
	}
	return index
}

// layoutOf writes an image or an index of images to a directory.
func layoutOf(t *testing.T, content mutate.Appendable, annotations map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := layout.Write(dir, empty.Index); err != nil {
		t.Fatal(err)
	}
	appendTo(t, dir, content, annotations)
	return dir
}

func appendTo(t *testing.T, dir string, content mutate.Appendable, annotations map[string]string) {
	t.Helper()
	l, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	switch content := content.(type) {
	case v1.Image:
		err = l.AppendImage(content, layout.WithAnnotations(annotations))
	case v1.ImageIndex:
		err = l.AppendIndex(content, layout.WithAnnotations(annotations))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func archiveOf(t *testing.T, content mutate.Appendable, annotations map[string]string) []byte {
	t.Helper()
	return tarOf(t, layoutOf(t, content, annotations))
}

func tarOf(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func dirWith(t *testing.T, file, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func largestBlob(t *testing.T, dir string) string {
	t.Helper()
	var largest string
	var size int64
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = file, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return largest
}
