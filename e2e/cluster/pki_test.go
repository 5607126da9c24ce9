package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func newTestPKI(t *testing.T) (*Cluster, *x509.CertPool) {
	t.Helper()
	c := &Cluster{Name: "test", Dir: t.TempDir(), Octet: 77}
	if err := os.Mkdir(c.path("pki"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writePKI(c); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(c.pkiFile("ca", "crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in ca.crt")
	}
	return c, pool
}

func leaf(t *testing.T, pair tls.Certificate) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestServerCertificates(t *testing.T) {
	c, pool := newTestPKI(t)
	n := Node{Name: "one", Index: 3}
	if err := writeNodePKI(c, n); err != nil {
		t.Fatal(err)
	}
	for file, hosts := range map[string][]string{
		"apiserver":   {c.controlIP().String(), c.apiServiceIP().String(), "127.0.0.1", "kubernetes.default.svc"},
		"kubelet-one": {c.nodeIP(3).String(), "one"},
	} {
		pair, err := tls.LoadX509KeyPair(c.pkiFile(file, "crt"), c.pkiFile(file, "key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			_, err := leaf(t, pair).Verify(x509.VerifyOptions{Roots: pool, DNSName: host})
			if err != nil {
				t.Errorf("%s does not serve %s: %v", file, host, err)
			}
		}
	}
}

func TestClientIdentities(t *testing.T) {
	c, pool := newTestPKI(t)
	n := Node{Name: "one", Index: 1}
	if err := writeNodePKI(c, n); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]string{
		c.kubeconfig():      {"kubernetes-admin", "system:masters"},
		c.nodeKubeconfig(n): {"system:node:one", "system:nodes"},
	} {
		config, err := clientcmd.BuildConfigFromFlags("", path)
		if err != nil {
			t.Fatal(err)
		}
		if config.Insecure || len(config.CAData) == 0 || config.Host != c.apiURL() {
			t.Errorf("%s does not verify the server at %s", path, c.apiURL())
		}
		pair, err := tls.X509KeyPair(config.CertData, config.KeyData)
		if err != nil {
			t.Fatal(err)
		}
		cert := leaf(t, pair)
		opts := x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if _, err := cert.Verify(opts); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if got := [2]string{cert.Subject.CommonName, cert.Subject.Organization[0]}; got != want {
			t.Errorf("%s belongs to %v, want %v", path, got, want)
		}
	}
}
