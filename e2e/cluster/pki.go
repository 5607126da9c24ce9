package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// authority signs every certificate of a cluster: servers' and clients'.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// identity says whose certificate it is. A client's name and groups are what
// the API server authorizes; a server has addresses.
type identity struct {
	name   string
	groups []string
	dns    []string
	ips    []netip.Addr
}

// frontProxy is the API server's name where it passes requests on to others.
const frontProxy = "front-proxy-client"

// writePKI makes the authority, the keys of the control machine and the
// administrator's kubeconfig.
func writePKI(c *Cluster) error {
	ca, err := newAuthority("kontroler-cluster-" + c.Name)
	if err != nil {
		return err
	}
	if err := writeKeyPair(c, "ca", ca.pem, ca.key); err != nil {
		return err
	}
	serving := identity{
		name: "kube-apiserver",
		dns: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local"},
		ips: []netip.Addr{c.controlIP(), c.apiServiceIP(), netip.MustParseAddr("127.0.0.1")},
	}
	toKubelet := identity{name: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}}
	for file, id := range map[string]identity{
		"apiserver": serving, "apiserver-kubelet-client": toKubelet, "front-proxy": {name: frontProxy},
	} {
		if err := ca.write(c, file, id); err != nil {
			return err
		}
	}
	serviceAccountKey, err := newKey()
	if err != nil {
		return err
	}
	if err := writeKeyPair(c, "sa", nil, serviceAccountKey); err != nil {
		return err
	}
	for path, id := range map[string]identity{
		c.kubeconfig(): {name: "kubernetes-admin", groups: []string{"system:masters"}},
		c.pkiFile("controller-manager", "kubeconfig"): {name: "system:kube-controller-manager"},
		c.pkiFile("scheduler", "kubeconfig"):          {name: "system:kube-scheduler"},
		c.pkiFile("proxy", "kubeconfig"):              {name: "system:kube-proxy"},
	} {
		if err := ca.writeKubeconfig(c, path, id); err != nil {
			return err
		}
	}
	return nil
}

// writeNodePKI makes one node's keys: its server's and its client's.
func writeNodePKI(c *Cluster, n Node) error {
	ca, err := loadAuthority(c)
	if err != nil {
		return err
	}
	server := identity{name: n.Name, dns: []string{n.Name}, ips: []netip.Addr{c.nodeIP(n.Index)}}
	if err := ca.write(c, "kubelet-"+n.Name, server); err != nil {
		return err
	}
	client := identity{name: "system:node:" + n.Name, groups: []string{"system:nodes"}}
	return ca.writeKubeconfig(c, c.nodeKubeconfig(n), client)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

func newAuthority(name string) (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:     true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	return parseAuthority(certPEM(der), key)
}

func parseAuthority(certificate []byte, key crypto.Signer) (*authority, error) {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return nil, fmt.Errorf("reading the authority's certificate: no PEM in it")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	return &authority{cert: cert, key: key, pem: certificate}, nil
}

func loadAuthority(c *Cluster) (*authority, error) {
	certificate, err := os.ReadFile(c.pkiFile("ca", "crt"))
	if err != nil {
		return nil, fmt.Errorf("reading the authority: %w", err)
	}
	data, err := os.ReadFile(c.pkiFile("ca", "key"))
	if err != nil {
		return nil, fmt.Errorf("reading the authority: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("reading %s: no PEM in it", c.pkiFile("ca", "key"))
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.pkiFile("ca", "key"), err)
	}
	return parseAuthority(certificate, key)
}

// issue makes a key and its certificate.
func (a *authority) issue(id identity) (certificate []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = newKey(); err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("making a serial number: %w", err)
	}
	usage := x509.ExtKeyUsageClientAuth
	if len(id.ips) > 0 {
		usage = x509.ExtKeyUsageServerAuth
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: id.name, Organization: id.groups},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		DNSNames: id.dns,
	}
	for _, ip := range id.ips {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("making the certificate of %s: %w", id.name, err)
	}
	return certPEM(der), key, nil
}

// write issues a certificate to the files pki/FILE.crt and .key.
func (a *authority) write(c *Cluster, file string, id identity) error {
	certificate, key, err := a.issue(id)
	if err != nil {
		return err
	}
	return writeKeyPair(c, file, certificate, key)
}

// writeKubeconfig issues a client's certificate inside a kubeconfig.
func (a *authority) writeKubeconfig(c *Cluster, path string, id identity) error {
	certificate, key, err := a.issue(id)
	if err != nil {
		return err
	}
	keyData, err := keyPEM(key)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[c.id()] = &clientcmdapi.Cluster{Server: c.apiURL(), CertificateAuthorityData: a.pem}
	config.AuthInfos[id.name] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: keyData}
	config.Contexts[c.id()] = &clientcmdapi.Context{Cluster: c.id(), AuthInfo: id.name}
	config.CurrentContext = c.id()
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return writeAtomic(path, data)
}

func writeKeyPair(c *Cluster, file string, certificate []byte, key crypto.Signer) error {
	data, err := keyPEM(key)
	if err != nil {
		return err
	}
	if certificate != nil {
		if err := writeAtomic(c.pkiFile(file, "crt"), certificate); err != nil {
			return err
		}
	}
	return writeAtomic(c.pkiFile(file, "key"), data)
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("encoding a key: it is a %T", key)
	}
	der, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
