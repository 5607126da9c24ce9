package images_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// archive is the content of an OCI archive with one image, which may have several names.
type archive struct {
	names  []string
	times  map[int64]bool // in seconds since 1970: those of the files, of the config and of its history
	config config
	files  map[string]entry // by path, without directories
}

// config is the part of an image's config that the tests read.
type config struct {
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       struct {
		User       string            `json:"User"`
		Entrypoint []string          `json:"Entrypoint"`
		StopSignal string            `json:"StopSignal"`
		Labels     map[string]string `json:"Labels"`
	} `json:"config"`
	History []struct {
		Created time.Time `json:"created"`
	} `json:"history"`
}

// entry is a file in the image.
type entry struct {
	mode     int64 // permissions
	uid, gid int
	data     []byte
}

// descriptor names a blob.
type descriptor struct {
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
}

// readArchive reads an OCI archive.
func readArchive(t *testing.T, file string) archive {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	blobs, times := untar(t, f)
	read := archive{times: times, files: map[string]entry{}}
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	decode(t, blobs, "index.json", &index)
	for _, d := range index.Manifests {
		if d.Digest != index.Manifests[0].Digest {
			t.Fatalf("%s contains more than one image", file)
		}
		read.names = append(read.names, d.Annotations["org.opencontainers.image.ref.name"])
	}
	var manifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	decode(t, blobs, blob(index.Manifests[0]), &manifest)
	decode(t, blobs, blob(manifest.Config), &read.config)
	checkDockerManifest(t, blobs, read.names, append([]descriptor{manifest.Config}, manifest.Layers...))
	times[read.config.Created.Unix()] = true
	for _, step := range read.config.History {
		times[step.Created.Unix()] = true
	}
	for _, d := range manifest.Layers {
		layer, err := gzip.NewReader(bytes.NewReader(blobs[blob(d)].data))
		if err != nil {
			t.Fatal(err)
		}
		files, layerTimes := untar(t, layer)
		for name, f := range files {
			read.files[name] = f
		}
		for at := range layerTimes {
			times[at] = true
		}
	}
	return read
}

// checkDockerManifest checks that `docker load` finds the same image as tools that read index.json.
func checkDockerManifest(t *testing.T, files map[string]entry, names []string, blobs []descriptor) {
	t.Helper()
	type image struct {
		Config           string
		RepoTags, Layers []string
	}
	want := []image{{Config: blob(blobs[0]), RepoTags: names}}
	for _, layer := range blobs[1:] {
		want[0].Layers = append(want[0].Layers, blob(layer))
	}
	var got []image
	decode(t, files, "manifest.json", &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifest.json of the archive (-want +got):\n%s", diff)
	}
}

// blob returns the path of a blob in the archive.
func blob(d descriptor) string { return path.Join("blobs", strings.ReplaceAll(d.Digest, ":", "/")) }

func decode(t *testing.T, files map[string]entry, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(files[name].data, into); err != nil {
		t.Fatalf("reading %s of the archive: %v", name, err)
	}
}

// untar returns the files of a tar archive and the modification times in it.
func untar(t *testing.T, r io.Reader) (files map[string]entry, times map[int64]bool) {
	t.Helper()
	files, times = map[string]entry{}, map[int64]bool{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, times
		}
		if err != nil {
			t.Fatal(err)
		}
		times[h.ModTime.Unix()] = true
		if h.Typeflag == tar.TypeDir {
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = entry{mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid, data: data}
	}
}
