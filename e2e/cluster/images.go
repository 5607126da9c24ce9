package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const (
	busyboxProgram = "/bin/busybox"
	pauseImage     = "registry.k8s.io/pause:3.10"
	titleKey       = "org.opencontainers.image.title"
)

// busyboxImages are the names under which manifests ask for a shell.
var busyboxImages = []string{
	"docker.io/library/alpine:latest", "docker.io/library/alpine:3",
	"docker.io/library/busybox:latest", "docker.io/library/busybox:1.36",
}

// file is one entry of an image's layer.
type file struct {
	path string
	mode int64
	link string // target of a symbolic link
	data []byte // a regular file's contents; a directory has neither
}

// buildImages makes the images once per binary and busybox, beside the binary.
func buildImages(ctx context.Context, exeDir string) error {
	dir, err := imagesDir(exeDir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(exeDir, ".images-")
	if err != nil {
		return fmt.Errorf("building images: %w", err)
	}
	defer os.RemoveAll(tmp)
	l, err := layout.Write(tmp, empty.Index)
	if err != nil {
		return fmt.Errorf("building images: %w", err)
	}
	pause, err := pauseImageOf(exeDir)
	if err != nil {
		return err
	}
	busybox, err := busyboxImageOf(ctx)
	if err != nil {
		return err
	}
	for title, img := range map[string]v1.Image{"pause": pause, "busybox": busybox} {
		if err := l.AppendImage(img, layout.WithAnnotations(map[string]string{titleKey: title})); err != nil {
			return fmt.Errorf("storing image %s: %w", title, err)
		}
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("storing images: %w", err)
	}
	return nil
}

// imagesDir is where the images of this binary and this busybox are kept.
func imagesDir(exeDir string) (string, error) {
	f, err := os.Open(busyboxProgram)
	if err != nil {
		return "", fmt.Errorf("opening busybox: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading busybox: %w", err)
	}
	return filepath.Join(exeDir, fmt.Sprintf("images-%x", h.Sum(nil)[:6])), nil
}

// loadImage returns a stored image.
func loadImage(exeDir, title string) (v1.Image, error) {
	dir, err := imagesDir(exeDir)
	if err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("opening images: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("opening images: %w", err)
	}
	for _, d := range manifest.Manifests {
		if match.Annotation(titleKey, title)(d) {
			img, err := index.Image(d.Digest)
			if err != nil {
				return nil, fmt.Errorf("opening image %s: %w", title, err)
			}
			return img, nil
		}
	}
	return nil, fmt.Errorf("no image %s in %s", title, dir)
}

func pauseImageOf(exeDir string) (v1.Image, error) {
	program, err := os.ReadFile(filepath.Join(exeDir, "pause"))
	if err != nil {
		return nil, fmt.Errorf("building the pause image: %w", err)
	}
	return addFiles(empty.Image, []file{{path: "/pause", mode: 0o755, data: program}},
		v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"})
}

// busyboxImageOf builds what alpine and busybox images are to manifests: a
// shell with the usual tools.
func busyboxImageOf(ctx context.Context) (v1.Image, error) {
	program, err := os.ReadFile(busyboxProgram)
	if err != nil {
		return nil, fmt.Errorf("building the busybox image: %w", err)
	}
	applets, err := exec.CommandContext(ctx, busyboxProgram, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the applets of busybox: %w", err)
	}
	files := []file{
		{path: "/bin", mode: 0o755}, {path: "/etc", mode: 0o755}, {path: "/home", mode: 0o755},
		{path: "/root", mode: 0o700}, {path: "/tmp", mode: 0o1777}, {path: "/usr", mode: 0o755},
		{path: "/usr/bin", mode: 0o755}, {path: "/var", mode: 0o755}, {path: "/var/tmp", mode: 0o1777},
		{path: "/bin/busybox", mode: 0o755, data: program},
		{path: "/usr/bin/env", mode: 0o777, link: "/bin/busybox"},
		{
			path: "/etc/passwd",
			mode: 0o644,
			data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
		},
		{path: "/etc/group", mode: 0o644, data: []byte("root:x:0:\nnogroup:x:65534:\n")},
	}
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			files = append(files, file{path: "/bin/" + applet, mode: 0o777, link: "busybox"})
		}
	}
	return addFiles(empty.Image, files, v1.Config{
		Cmd: []string{"/bin/sh"},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	})
}

// addFiles returns a base image with one more layer and another config.
func addFiles(base v1.Image, files []file, config v1.Config) (v1.Image, error) {
	data, err := tarFiles(files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
	if err != nil {
		return nil, fmt.Errorf("packing a layer: %w", err)
	}
	img, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, fmt.Errorf("adding a layer: %w", err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's config: %w", err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config = "linux", runtime.GOARCH, config
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		return nil, fmt.Errorf("writing the image's config: %w", err)
	}
	return img, nil
}

// tarFiles packs files so that the same ones always give the same bytes.
func tarFiles(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: strings.TrimPrefix(path.Clean(f.path), "/"), Mode: f.mode, ModTime: time.Unix(0, 0)}
		switch {
		case f.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		case f.data != nil:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.data))
		default:
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.path, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("packing a layer: %w", err)
	}
	return out.Bytes(), nil
}

// isStatic says whether a program runs without shared libraries.
func isStatic(program string) (bool, error) {
	f, err := elf.Open(program)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", program, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false, nil
		}
	}
	return true, nil
}
