package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: rand.Text()}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a authority) issue(t *testing.T, name string, hosts ...string) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// client returns the configuration of a client that trusts an authority and has a certificate of another, if there is
// one.
func (a authority) client(t *testing.T, of *authority) *tls.Config {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(a.certificate)
	if of != nil {
		certificate, err := tls.X509KeyPair(of.issue(t, "client"))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config
}

func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCertificates(t *testing.T) {
	_, cert, key, ca := files(t)
	first, second, clients := newAuthority(t), newAuthority(t), newAuthority(t)
	serve := func(a authority) {
		certPEM, keyPEM := a.issue(t, "server")
		overwrite(t, cert, certPEM)
		overwrite(t, key, keyPEM)
	}
	serve(first)
	overwrite(t, ca, clients.pem)
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
	check("a client with a certificate", first.client(t, &clients), true)
	check("a client without a certificate", first.client(t, nil), false)
	check("a client with a certificate of another authority", first.client(t, &second), false)
	old := first.client(t, &clients)
	old.MaxVersion = tls.VersionTLS11
	check("a client of TLS 1.1", old, false)

	if hasChanged, err := c.reload(); hasChanged || err != nil {
		t.Errorf("files that have not changed: %v, %v", hasChanged, err)
	}
	overwrite(t, cert, []byte("nonsense"))
	if _, err := c.reload(); err == nil {
		t.Error("a faulty file was accepted")
	}
	check("after a faulty file", first.client(t, &clients), true)
	serve(second)
	overwrite(t, ca, second.pem)
	if hasChanged, err := c.reload(); !hasChanged || err != nil {
		t.Fatalf("files that have changed: %v, %v", hasChanged, err)
	}
	check("the new certificates", second.client(t, &second), true)
	check("a client of the old authority", second.client(t, &clients), false)
	check("a client that expects the old certificate", first.client(t, &second), false)
}
