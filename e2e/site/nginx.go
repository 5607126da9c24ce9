package site

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Site is nginx of the image, with its entry point.
type Site struct {
	*Process
	// Address is where it listens: on port 8080 as browsers see it, on 8081 for probes.
	Address string
	// Hosts is its /etc/hosts.
	Hosts string
}

// Root returns the root file system of the image.
func Root(t testing.TB) string {
	t.Helper()
	return required(t, "TEST_UI_ROOT", "the root file system of the UI's image")
}

// Bundle returns the folder of the bundle in the image.
func Bundle(t testing.TB) string {
	t.Helper()
	return filepath.Join(Root(t), "usr/share/kontroler/ui")
}

// Start starts the entry point of the image, with variables and with the files of a folder, which it has in /tmp/files.
func Start(t testing.TB, files string, variables ...string) *Site {
	t.Helper()
	s := &Site{Address: NewAddress(), Hosts: write(t, "hosts", "127.0.0.1 localhost\n")}
	if files == "" {
		files = t.TempDir()
	}
	s.Process = inImage(t, files, s.Hosts, append([]string{
		"KONTROLER_LISTEN_ADDRESS=" + s.Address + ":8080", "KONTROLER_HEALTH_ADDRESS=" + s.Address + ":8081",
	}, variables...), "/entrypoint")
	return s
}

// Ready waits until nginx serves.
func (s *Site) Ready() *Site {
	s.t.Helper()
	Until(s.t, "nginx is healthy", func() bool {
		return statusOf("http://"+s.Address+":8081/healthz") == http.StatusOK
	})
	return s
}

// StartFront starts nginx of the image with the servers of a configuration, as a proxy that is no part of Kontroler. It
// has the files of a folder in /tmp/files, and waits until the address, with its port, is listened on.
func StartFront(t testing.TB, files, address, servers string) *Process {
	t.Helper()
	configuration := "pid /tmp/front.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n" +
		"client_body_temp_path /tmp/body;\nproxy_temp_path /tmp/proxy;\nfastcgi_temp_path /tmp/fastcgi;\n" +
		"uwsgi_temp_path /tmp/uwsgi;\nscgi_temp_path /tmp/scgi;\n" + servers + "}\n"
	if err := os.WriteFile(filepath.Join(files, "front.conf"), []byte(configuration), 0o644); err != nil {
		t.Fatal(err)
	}
	p := inImage(t, files, write(t, "hosts", "127.0.0.1 localhost\n"), nil,
		"/usr/sbin/nginx", "-c", "/tmp/files/front.conf", "-g", "daemon off;")
	Until(t, "the nginx in front listens", func() bool {
		if p.hasExited() {
			t.Fatalf("the nginx in front has ended: %s", p.Output())
		}
		connection, err := net.Dial("tcp", address)
		return err == nil && connection.Close() == nil
	})
	return p
}

// script runs a command in an image. $root is its root directory, $hosts its /etc/hosts. The root becomes read-only;
// /tmp is empty but for the files. The shell stays, because it ends with its parent: a process that has changed its
// user does not. The shell is the first process of the namespace, so all others end with it.
const script = `
mount --bind "$root" "$root" && cd "$root" && mount --rbind /dev dev && mount -t proc proc proc &&
mount -t tmpfs -o mode=1777 tmpfs tmp && mkdir tmp/files && mount --bind "$files" tmp/files &&
mount --bind "$hosts" etc/hosts &&
mount -o remount,bind,ro "$root" && chroot --userspec=101:101 --groups= . "$@"
exit $?`

// inImage runs a command in the image, as its user.
func inImage(t testing.TB, files, hosts string, variables []string, command ...string) *Process {
	t.Helper()
	cmd := exec.Command("unshare", append([]string{
		"--mount", "--pid", "--fork", "--kill-child", "--propagation=private", "sh", "-c", script, "sh",
	}, command...)...)
	cmd.Env = append([]string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "root=" + Root(t), "hosts=" + hosts, "files=" + files,
	}, variables...)
	return Launch(t, cmd)
}
