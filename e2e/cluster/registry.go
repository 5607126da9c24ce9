package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// registryClient uses no proxy: the registry is on this host.
var registryClient = &http.Client{Transport: &http.Transport{}}

// serveImages serves the images to the nodes, in the background, from the
// control machine. Every registry that a manifest may name is this one.
func serveImages(c *Cluster, exeDir string) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", c.controlIP(), registryPort))
	if err != nil {
		return fmt.Errorf("starting the image registry: %w", err)
	}
	server := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	go func() {
		if err := server.Serve(listener); err != nil {
			fmt.Fprintln(os.Stderr, "serving images:", err)
		}
	}()
	pause, err := loadImage(exeDir, "pause")
	if err != nil {
		return err
	}
	if err := push(context.Background(), c, pauseImage, pause); err != nil {
		return err
	}
	busybox, err := loadImage(exeDir, "busybox")
	if err != nil {
		return err
	}
	for _, ref := range busyboxImages {
		if err := push(context.Background(), c, ref, busybox); err != nil {
			return err
		}
	}
	return nil
}

// splitRef returns a reference's path in the registry and its tag. The path
// leaves out the host, and names Docker's own images in full.
func splitRef(ref string) (repo, tag string) {
	repo, tag = ref, "latest"
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		repo, tag = ref[:i], ref[i+1:]
	}
	host, rest, found := strings.Cut(repo, "/")
	switch {
	case !found:
		repo = "library/" + repo
	case strings.ContainsAny(host, ".:") || host == "localhost":
		repo = rest
	}
	return repo, tag
}

// push puts an image in the cluster's registry.
func push(ctx context.Context, c *Cluster, ref string, img v1.Image) error {
	repo, tag := splitRef(ref)
	base := c.registryURL() + "/v2/" + repo
	layers, err := img.Layers()
	if err != nil {
		return fmt.Errorf("reading the layers of %s: %w", ref, err)
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return fmt.Errorf("reading a layer of %s: %w", ref, err)
		}
		data, err := layer.Compressed()
		if err != nil {
			return fmt.Errorf("reading a layer of %s: %w", ref, err)
		}
		if err := upload(ctx, http.MethodPost, base+"/blobs/uploads/?digest="+digest.String(), "", data); err != nil {
			return fmt.Errorf("uploading a layer of %s: %w", ref, err)
		}
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return fmt.Errorf("reading the config of %s: %w", ref, err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	url := base + "/blobs/uploads/?digest=" + manifest.Config.Digest.String()
	if err := upload(ctx, http.MethodPost, url, "", io.NopCloser(bytes.NewReader(config))); err != nil {
		return fmt.Errorf("uploading the config of %s: %w", ref, err)
	}
	raw, err := img.RawManifest()
	if err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	if err := upload(ctx, http.MethodPut, base+"/manifests/"+tag, string(manifest.MediaType),
		io.NopCloser(bytes.NewReader(raw))); err != nil {
		return fmt.Errorf("uploading the manifest of %s: %w", ref, err)
	}
	return nil
}

func upload(ctx context.Context, method, url, contentType string, body io.ReadCloser) error {
	defer body.Close()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := registryClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("%s %s: %s: %s", method, url, response.Status, text)
	}
	return nil
}

// imagesAddCommand builds an image from busybox and files of the host.
func imagesAddCommand(ctx context.Context, args []string) error {
	if len(args) < 3 {
		return errors.New("images add needs a directory, a reference and a file\n" + usage)
	}
	c, err := loadAbs(args[0])
	if err != nil {
		return err
	}
	exeDir, err := exeDir()
	if err != nil {
		return err
	}
	base, err := loadImage(exeDir, "busybox")
	if err != nil {
		return err
	}
	cf, err := base.ConfigFile()
	if err != nil {
		return fmt.Errorf("reading the busybox image: %w", err)
	}
	config := *cf.Config.DeepCopy()
	config.Cmd = nil
	var files []file
	for _, arg := range args[2:] {
		f, err := hostFile(arg)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	config.Entrypoint = []string{files[0].path}
	img, err := addFiles(base, files, config)
	if err != nil {
		return err
	}
	return push(ctx, c, args[1], img)
}

// hostFile reads a file given as FILE or FILE:PATH.
func hostFile(arg string) (file, error) {
	name, at, ok := strings.Cut(arg, ":")
	if !ok {
		at = path.Join("/", filepath.Base(name))
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return file{}, fmt.Errorf("adding a file to the image: %w", err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return file{}, fmt.Errorf("adding a file to the image: %w", err)
	}
	return file{path: at, mode: int64(info.Mode().Perm()), data: data}, nil
}

// imagesListCommand prints what the registry holds.
func imagesListCommand(ctx context.Context, args []string) error {
	dir, _, err := dirArgs(args, 0)
	if err != nil {
		return err
	}
	c, err := load(dir)
	if err != nil {
		return err
	}
	var catalog struct {
		Repositories []string `json:"repositories"`
	}
	if err := getJSON(ctx, c.registryURL()+"/v2/_catalog", &catalog); err != nil {
		return fmt.Errorf("listing images: %w", err)
	}
	sort.Strings(catalog.Repositories)
	for _, repo := range catalog.Repositories {
		var list struct {
			Tags []string `json:"tags"`
		}
		if err := getJSON(ctx, c.registryURL()+"/v2/"+repo+"/tags/list", &list); err != nil {
			return fmt.Errorf("listing images: %w", err)
		}
		for _, tag := range list.Tags {
			fmt.Printf("%s:%s\n", repo, tag)
		}
	}
	return nil
}

func getJSON(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := registryClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}
