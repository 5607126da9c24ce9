package images_test

import (
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	root    = "../.."
	maxSize = 60_000_000 // bytes of all files of an image
)

// programs are the programs with an image of their own, and what --version prints after the commit.
var programs = map[string]string{"controller": ", schema [0-9]+", "server": ""}

// TestImages builds the images twice: the second time in a copy of the checkout at another path, with another umask
// and time zone.
func TestImages(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	build(t, root, first)
	build(t, copyOfCheckout(t), second, "TZ=Asia/Tokyo", "UMASK=077")
	version, commit := script(t, "version"), script(t, "version", "--commit")
	archives, err := os.ReadDir(first)
	want := len(programs)
	if hasNode() {
		want++
		t.Run("ui", func(t *testing.T) { checkUI(t, first, second, version) })
	}
	if err != nil || len(archives) != want {
		t.Errorf("scripts/images wrote %v (%v), want %d archives", archives, err, want)
	}
	for program, rest := range programs {
		t.Run(program, func(t *testing.T) {
			file := archiveOf(program, runtime.GOARCH)
			if !bytes.Equal(read(t, filepath.Join(first, file)), read(t, filepath.Join(second, file))) {
				t.Error("two builds of the same commit differ")
			}
			image := readArchive(t, filepath.Join(first, file))
			checkImage(t, program, image, version, commit)
			checkCertificates(t, image.files["etc/ssl/certs/ca-certificates.crt"].data)

			binary := filepath.Join(t.TempDir(), program)
			if err := os.WriteFile(binary, image.files[program].data, 0o755); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(binary, "--version").CombinedOutput()
			if err != nil {
				t.Fatalf("%s --version: %v\n%s", program, err, out)
			}
			want := regexp.MustCompile("^" + regexp.QuoteMeta(program+" "+version+", commit "+commit) + rest + "\n$")
			if !want.Match(out) {
				t.Errorf("%s --version prints %q, want %s", program, out, want)
			}
		})
	}
}

// hasNode reports whether this machine can build the bundle of the UI. Without Node its image is left out.
func hasNode() bool {
	_, err := exec.LookPath("node")
	return err == nil || os.Getenv("CI") == "true"
}

// checkUI checks the image of the UI. Package e2e/nginx runs it.
func checkUI(t *testing.T, first, second, version string) {
	t.Helper()
	file := archiveOf("ui", runtime.GOARCH)
	if !bytes.Equal(read(t, filepath.Join(first, file)), read(t, filepath.Join(second, file))) {
		t.Error("two builds of the same commit differ")
	}
	image := readArchive(t, filepath.Join(first, file))
	if want := []string{
		"localhost/kontroler-ui:" + version, "localhost/kontroler-ui:dev",
	}; !cmp.Equal(image.names, want) {
		t.Errorf("the names are %v, want %v", image.names, want)
	}
	if image.config.Config.User != "101:101" || image.config.Config.StopSignal != "SIGQUIT" {
		t.Errorf("the config is %+v", image.config.Config)
	}
	size := 0
	for name, f := range image.files {
		size += len(f.data)
		if f.mode&0o6000 != 0 || f.mode&0o022 != 0 && f.mode&0o777 != 0o777 || f.uid != 0 || f.gid != 0 {
			t.Errorf("%s has mode %o and belongs to %d:%d", name, f.mode, f.uid, f.gid)
		}
	}
	if size > maxSize {
		t.Errorf("the files of the image have %d bytes, want at most %d", size, maxSize)
	}
	for _, name := range []string{
		"entrypoint", "usr/sbin/nginx", "etc/nginx/nginx.conf", "usr/share/kontroler/ui/index.html",
		"usr/share/doc/nginx/copyright", "usr/share/doc/libssl3/copyright",
	} {
		if len(image.files[name].data) == 0 {
			t.Errorf("the image lacks %s", name)
		}
	}
}

// archiveOf returns the name of the archive of a program's image.
func archiveOf(program, arch string) string { return "kontroler-" + program + "-" + arch + ".tar" }

// TestImagesForAnotherArchitecture cross-compiles all dependencies, which takes minutes.
func TestImagesForAnotherArchitecture(t *testing.T) {
	if os.Getenv("TEST_LONG") != "true" {
		t.Skip("runs only for releases, with make test-long")
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	if other == "" {
		t.Skipf("no other architecture is known for %s", runtime.GOARCH)
	}
	dir := t.TempDir()
	build(t, root, dir, "ARCH="+other)
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[other]
	for program := range programs {
		image := readArchive(t, filepath.Join(dir, archiveOf(program, other)))
		if image.config.Architecture != other {
			t.Errorf("the image of the %s is for %s, want %s", program, image.config.Architecture, other)
		}
		binary, err := elf.NewFile(bytes.NewReader(image.files[program].data))
		if err != nil {
			t.Fatal(err)
		}
		if binary.Machine != want {
			t.Errorf("the %s in the image is for %s, want %s", program, binary.Machine, want)
		}
	}
}

func TestImagesNamesTheFault(t *testing.T) {
	cases := map[string]struct {
		env   string
		fault string
	}{
		"a push needs a registry":          {env: "PUSH=1", fault: "PUSH=1 needs REGISTRY="},
		"PUSH is 1 or empty":               {env: "PUSH=yes", fault: "PUSH=yes is not 1"},
		"a registry is no URL":             {env: "REGISTRY=https://registry.example/x", fault: "without https://"},
		"a registry is in lower case":      {env: "REGISTRY=registry.example/Team", fault: "in lower case"},
		"a builder is buildah or docker":   {env: "BUILDER=make", fault: "neither buildah nor docker"},
		"docker does not run":              {env: "BUILDER=docker", fault: "cannot build with docker"},
		"Go does not know an architecture": {env: "ARCH=pdp11", fault: "linux/pdp11"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := images(root, dir, c.env, "DOCKER_HOST=unix:///nonexistent")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.fault) {
				t.Errorf("it ended with %v, want an error and %q:\n%s", err, c.fault, out)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("it left %v (%v), want nothing", left, err)
			}
		})
	}
}

// checkImage checks everything in the image of a program but the content of its files.
func checkImage(t *testing.T, program string, image archive, version, commit string) {
	t.Helper()
	type shape struct {
		Names      []string
		OS, User   string
		Entrypoint []string
		Labels     map[string]string
		Files      map[string]int64
	}
	got := shape{
		Names: image.names, OS: image.config.OS, User: image.config.Config.User,
		Entrypoint: image.config.Config.Entrypoint, Labels: image.config.Config.Labels, Files: map[string]int64{},
	}
	size := 0
	for name, f := range image.files {
		got.Files[name] = f.mode
		size += len(f.data)
		if f.uid != 0 || f.gid != 0 {
			t.Errorf("%s belongs to %d:%d, want 0:0", name, f.uid, f.gid)
		}
	}
	want := shape{
		Names: []string{
			"localhost/kontroler-" + program + ":" + version, "localhost/kontroler-" + program + ":dev",
		},
		OS:         "linux",
		User:       "65532:65532",
		Entrypoint: []string{"/" + program},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "kontroler-" + program,
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.revision": commit,
		},
		Files: map[string]int64{
			program: 0o755, "etc/passwd": 0o644, "etc/group": 0o644, "etc/ssl/certs/ca-certificates.crt": 0o644,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("image of the "+program+" (-want +got):\n%s", diff)
	}
	if size > maxSize {
		t.Errorf("the files of the image have %d bytes, want at most %d", size, maxSize)
	}
	for at := range image.times {
		if got, want := fmt.Sprint(at), script(t, "version", "--time"); got != want {
			t.Errorf("the image has the time %s, want only that of the commit, %s", got, want)
		}
	}
	binary, err := elf.NewFile(bytes.NewReader(image.files[program].data))
	if err != nil {
		t.Fatal(err)
	}
	if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the %s needs the libraries %v (%v), want none", program, libraries, err)
	}
	if !bytes.Contains(image.files[program].data, []byte("Europe/Berlin")) {
		t.Errorf("the %s has no time zones", program)
	}
}

// checkCertificates checks that a bundle consists of the certificates of Debian's package, and has none that an
// administrator has added to this machine.
func checkCertificates(t *testing.T, bundle []byte) {
	t.Helper()
	files, err := filepath.Glob("/usr/share/ca-certificates/mozilla/*.crt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Errorf("certificate %d of the bundle: %v", count, err)
		}
		count++
	}
	if count == 0 || count != len(files) {
		t.Errorf("the bundle has %d certificates, but Debian's package has %d", count, len(files))
	}
	for _, file := range files {
		if !bytes.Contains(bundle, read(t, file)) {
			t.Errorf("the bundle does not have %s", file)
		}
	}
}

// images returns the command that builds the images of a checkout into dir.
func images(checkout, dir string, env ...string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", `umask "${UMASK:-022}"; exec scripts/images "$0"`, dir)
	cmd.Dir = checkout
	for _, set := range os.Environ() {
		switch name, _, _ := strings.Cut(set, "="); name {
		case "REGISTRY", "PUSH", "ARCH":
		default:
			cmd.Env = append(cmd.Env, set)
		}
	}
	cmd.Env = append(append(cmd.Env, "BUILDER=buildah"), env...)
	return cmd
}

// build builds the images of a checkout into dir.
func build(t *testing.T, checkout, dir string, env ...string) {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("buildah is not installed. Run scripts/setup")
	}
	if out, err := images(checkout, dir, env...).CombinedOutput(); err != nil {
		t.Fatalf("scripts/images: %v\n%s", err, out)
	}
}

// copyOfCheckout copies the files of this checkout, changed ones included, beside the same repository.
func copyOfCheckout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("bash", "-c", `set -euo pipefail
		git ls-files -z --cached --others --exclude-standard |
			tar --create --null --ignore-failed-read --files-from - 2>/dev/null | tar --extract --directory "$0"
		echo "gitdir: $(git rev-parse --absolute-git-dir)" >"$0/.git"`, dir)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copying the checkout: %v\n%s", err, out)
	}
	return dir
}

// script runs a script and returns what it prints.
func script(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command("scripts/"+name, args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scripts/%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
