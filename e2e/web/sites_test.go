package web_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kontroler/apis/tlstest"
	"kontroler/e2e/site"
)

// subPath is where the static file server has the bundle, because sub-paths break most often.
const subPath = "/tools/kontroler/"

// proxied are the lines of a proxy that streams can pass, and that says who the client is.
const proxied = `proxy_http_version 1.1;
proxy_buffering off;
proxy_read_timeout 1h;
proxy_set_header Connection "";
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Forwarded-Proto $scheme;
`

// startSites starts the UI in each way in which users reach it, before one server. It adds their addresses to facts.
func startSites(t testing.TB, server string, facts map[string]any) {
	t.Helper()
	url := "KONTROLER_SERVER_URL=http://" + server + ":8443"
	facts["site"] = fmt.Sprintf("http://%s:8080/", site.Start(t, "", url).Ready().Address)
	facts["subPath"] = startSubPath(t, server)
	facts["proxied"], facts["proxy"] = startBehindProxy(t, url)
	facts["mutual"] = startMutual(t, url, facts)
}

// startSubPath serves the bundle under a sub-path with busybox. An nginx only joins it and the API to one origin,
// because busybox passes no more than the first request of a connection on. It returns the address of the page.
func startSubPath(t testing.TB, server string) string {
	t.Helper()
	home, static, front := t.TempDir(), site.NewAddress(), site.NewAddress()
	at := filepath.Join(home, subPath)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(site.Bundle(t), at); err != nil {
		t.Fatal(err)
	}
	site.Launch(t, exec.Command("busybox", "httpd", "-f", "-p", static+":8080", "-h", home))
	site.StartFront(t, t.TempDir(), front+":8080", fmt.Sprintf(`server {
listen %s:8080;
%s
location / { proxy_pass http://%s:8080; }
location %sapi/ { proxy_pass http://%s:8443/api/; }
}
`, front, proxied, static, subPath, server))
	return "http://" + front + ":8080" + subPath
}

// startBehindProxy starts the image behind an nginx that ends TLS, as an ingress does. It returns the address of the
// page and that of the proxy.
func startBehindProxy(t testing.TB, url string) (page, proxy string) {
	t.Helper()
	files, front := t.TempDir(), site.NewAddress()
	put(t, files, "front", tlstest.New(t))
	s := site.Start(t, "", url, "KONTROLER_TRUSTED_PROXIES="+front+"/32").Ready()
	site.StartFront(t, files, front+":8443", fmt.Sprintf(`server {
listen %[1]s:8443 ssl;
ssl_certificate /tmp/files/front.crt;
ssl_certificate_key /tmp/files/front.key;
%[2]s
proxy_bind %[1]s;
location / { proxy_pass http://%[3]s:8080; }
}
`, front, proxied, s.Address))
	return "https://" + front + ":8443/", front
}

// startMutual starts the image with TLS and client certificates. It adds the files of a right and of a wrong
// certificate to facts, and returns the address of the page.
func startMutual(t testing.TB, url string, facts map[string]any) string {
	t.Helper()
	files, browsers := t.TempDir(), tlstest.New(t)
	put(t, files, "site", tlstest.New(t))
	facts["certificate"] = put(t, files, "browser", browsers)
	facts["wrongCertificate"] = put(t, files, "wrong", tlstest.New(t))
	if err := os.WriteFile(filepath.Join(files, "browsers.crt"), browsers.PEM, 0o644); err != nil {
		t.Fatal(err)
	}
	s := site.Start(t, files, url, "KONTROLER_TLS_CERT=/tmp/files/site.crt", "KONTROLER_TLS_KEY=/tmp/files/site.key",
		"KONTROLER_CLIENT_CA=/tmp/files/browsers.crt").Ready()
	return "https://" + s.Address + ":8080/"
}

// put issues a certificate and writes it to the files name.crt and name.key of a folder. It returns their path without
// the extension.
func put(t testing.TB, folder, name string, by tlstest.Authority) string {
	t.Helper()
	certPEM, keyPEM := by.Issue(t, name)
	for extension, content := range map[string][]byte{".crt": certPEM, ".key": keyPEM} {
		if err := os.WriteFile(filepath.Join(folder, name+extension), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, name)
}
