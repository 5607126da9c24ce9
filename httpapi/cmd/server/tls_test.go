package main

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"kontroler/apis/tlstest"
)

func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCertificates(t *testing.T) {
	_, cert, key, ca := files(t)
	first, second, clients := tlstest.New(t), tlstest.New(t), tlstest.New(t)
	serve := func(a tlstest.Authority) {
		certPEM, keyPEM := a.Issue(t, "server")
		overwrite(t, cert, certPEM)
		overwrite(t, key, keyPEM)
	}
	serve(first)
	overwrite(t, ca, clients.PEM)
	c, err := openCertificates(cert, key, ca)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = c.serverConfig()
	server.StartTLS()
	defer server.Close()
	connect := func(config *tls.Config) error {
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err == nil {
			resp.Body.Close()
			if resp.ProtoMajor != 2 {
				t.Errorf("protocol %s", resp.Proto)
			}
		}
		return err
	}
	check := func(name string, config *tls.Config, want bool) {
		t.Helper()
		if err := connect(config); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("a client with a certificate", first.Client(t, &clients), true)
	check("a client without a certificate", first.Client(t, nil), false)
	check("a client with a certificate of another authority", first.Client(t, &second), false)
	old := first.Client(t, &clients)
	old.MaxVersion = tls.VersionTLS11
	check("a client of TLS 1.1", old, false)

	if hasChanged, err := c.reload(); hasChanged || err != nil {
		t.Errorf("files that have not changed: %v, %v", hasChanged, err)
	}
	overwrite(t, cert, []byte("nonsense"))
	if _, err := c.reload(); err == nil {
		t.Error("a faulty file was accepted")
	}
	check("after a faulty file", first.Client(t, &clients), true)
	serve(second)
	overwrite(t, ca, second.PEM)
	if hasChanged, err := c.reload(); !hasChanged || err != nil {
		t.Fatalf("files that have changed: %v, %v", hasChanged, err)
	}
	check("the new certificates", second.Client(t, &second), true)
	check("a client of the old authority", second.Client(t, &clients), false)
	check("a client that expects the old certificate", first.Client(t, &second), false)
}
