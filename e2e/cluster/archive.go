package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// The annotations in which an archive names an image. The second one may hold no more than a tag.
const (
	fullNameKey = "io.containerd.image.name"
	refNameKey  = "org.opencontainers.image.ref.name"
)

// archivedBlob matches the path of a blob in an OCI archive.
var archivedBlob = regexp.MustCompile(`^blobs/sha256/([0-9a-f]{64})$`)

// namedImage is an image and the name that its archive gives it.
type namedImage struct {
	name  string
	image v1.Image
}

// imagesLoadCommand puts the images of an OCI archive in the cluster's registry, under their names. It puts none of
// them there if one is invalid.
func imagesLoadCommand(ctx context.Context, args []string) error {
	dir, rest, err := dirArgs(args, 1)
	if err != nil {
		return err
	}
	c, err := load(dir)
	if err != nil {
		return err
	}
	if c.Bare {
		return fmt.Errorf("the cluster in %s has no nodes, and therefore no image registry", dir)
	}
	tmp, err := os.MkdirTemp("", "kontroler-images-")
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", rest[0], err)
	}
	defer os.RemoveAll(tmp)
	images, err := readArchive(rest[0], tmp)
	if err != nil {
		return fmt.Errorf("loading %s: %w", rest[0], err)
	}
	for _, named := range images {
		if err := push(ctx, c, named.name, named.image); err != nil {
			return err
		}
		fmt.Println(named.name)
	}
	return nil
}

// readArchive unpacks an OCI archive into dir, an empty directory, and returns its images for the platform of the
// nodes. Each image is complete, and each blob has the digest that its name says.
func readArchive(file, dir string) ([]namedImage, error) {
	if err := unpackArchive(file, dir); err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("reading index.json: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading index.json: %w", err)
	}
	if len(manifest.Manifests) == 0 {
		return nil, errors.New("the archive contains no image")
	}
	var images []namedImage
	digests := map[string]v1.Hash{}
	for _, d := range manifest.Manifests {
		name, err := nameOf(d)
		if err != nil {
			return nil, err
		}
		if other, ok := digests[name]; ok && other != d.Digest {
			return nil, fmt.Errorf("the archive contains two images that are named %s", name)
		}
		digests[name] = d.Digest
		image, err := imageOf(dir, index, d)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		images = append(images, namedImage{name: name, image: image})
	}
	return images, nil
}

// unpackArchive writes the files of an OCI archive to dir, and nothing else that the archive contains.
func unpackArchive(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	found := map[string]bool{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && len(found) == 0 {
			return fmt.Errorf("not an uncompressed tar archive: %w", err)
		}
		if err != nil {
			return fmt.Errorf("the archive is damaged: %w", err)
		}
		entry := path.Clean(h.Name)
		found[entry] = true
		if h.Typeflag == tar.TypeReg {
			if err := unpackFile(r, entry, dir); err != nil {
				return err
			}
		}
	}
	switch {
	case found["oci-layout"] && found["index.json"]:
		return nil
	case found["manifest.json"]:
		return errors.New("this is a Docker archive, not an OCI archive. Docker 25 and later saves images as both")
	default:
		return errors.New("this is not an OCI archive: it has no oci-layout or no index.json")
	}
}

// unpackFile writes one file to dir, if it belongs to an OCI archive.
func unpackFile(r io.Reader, entry, dir string) error {
	blob := archivedBlob.FindStringSubmatch(entry)
	if entry != "oci-layout" && entry != "index.json" && blob == nil {
		return nil
	}
	out, err := os.Create(filepath.Join(dir, filepath.FromSlash(entry)))
	if err != nil {
		return err
	}
	defer out.Close()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, hash), r); err != nil {
		return fmt.Errorf("reading %s: the archive is damaged: %w", entry, err)
	}
	if sum := fmt.Sprintf("%x", hash.Sum(nil)); blob != nil && sum != blob[1] {
		return fmt.Errorf("the archive is damaged: the content of %s has the digest %s", entry, sum)
	}
	return out.Close()
}

// nameOf returns the name that index.json gives to an image.
func nameOf(d v1.Descriptor) (string, error) {
	ref := d.Annotations[fullNameKey]
	if ref == "" {
		ref = d.Annotations[refNameKey]
		if !strings.ContainsAny(ref, ":/") {
			return "", fmt.Errorf("image %s has no name: annotation %s is %q. Save it under a name with a tag",
				d.Digest, refNameKey, ref)
		}
	}
	if _, err := name.NewTag(ref); err != nil {
		return "", fmt.Errorf("image %s has an invalid name: %w", d.Digest, err)
	}
	return ref, nil
}

// imageOf returns the image that an entry of an index describes. If that is an index of several platforms, imageOf
// returns the image for the nodes.
func imageOf(dir string, index v1.ImageIndex, d v1.Descriptor) (v1.Image, error) {
	if err := checkBlob(dir, d); err != nil {
		return nil, err
	}
	if d.MediaType.IsIndex() {
		platforms, err := index.ImageIndex(d.Digest)
		if err != nil {
			return nil, err
		}
		manifest, err := platforms.IndexManifest()
		if err != nil {
			return nil, err
		}
		var others []string
		for _, d := range manifest.Manifests {
			switch {
			case d.Platform == nil:
			case d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH:
				return imageOf(dir, platforms, d)
			default:
				others = append(others, d.Platform.String())
			}
		}
		return nil, wrongPlatform(others...)
	}
	if !d.MediaType.IsImage() {
		return nil, fmt.Errorf("it is no image: its media type is %q", d.MediaType)
	}
	image, err := index.Image(d.Digest)
	if err != nil {
		return nil, err
	}
	return image, checkImage(dir, image)
}

// checkImage returns an error if a blob of an image is missing, or if its programs cannot run on the nodes.
func checkImage(dir string, image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	for _, d := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
		if err := checkBlob(dir, d); err != nil {
			return err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return fmt.Errorf("reading its config: %w", err)
	}
	if config.OS != "linux" || config.Architecture != runtime.GOARCH {
		return wrongPlatform(config.Platform().String())
	}
	return nil
}

// checkBlob returns an error if a blob is missing, or is not as long as its descriptor says.
func checkBlob(dir string, d v1.Descriptor) error {
	info, err := os.Stat(filepath.Join(dir, "blobs", d.Digest.Algorithm, d.Digest.Hex))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the archive is incomplete: blob %s is missing", d.Digest)
	}
	if err != nil {
		return err
	}
	if info.Size() != d.Size {
		return fmt.Errorf("blob %s has %d bytes, but its descriptor says %d", d.Digest, info.Size(), d.Size)
	}
	return nil
}

func wrongPlatform(platforms ...string) error {
	if len(platforms) == 0 {
		return errors.New("it names no platform")
	}
	return fmt.Errorf("it is for %s, but the nodes run linux/%s", strings.Join(platforms, ", "), runtime.GOARCH)
}
