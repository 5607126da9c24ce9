package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
)

// certificates are the files of TLS and their content.
type certificates struct {
	certFile, keyFile string
	clientCAFile      string // empty means that clients need no certificate

	mu       sync.RWMutex
	contents [][]byte
	config   *tls.Config
}

// openCertificates reads the files. Its error names the flag of each faulty file.
func openCertificates(certFile, keyFile, clientCAFile string) (*certificates, error) {
	c := &certificates{certFile: certFile, keyFile: keyFile, clientCAFile: clientCAFile}
	_, err := c.reload()
	return c, err
}

// reload reads the files, and replaces the configuration if one of them has changed. After an error the old one stays.
func (c *certificates) reload() (hasChanged bool, err error) {
	var contents [][]byte
	for _, file := range []struct{ flag, path string }{
		{"--tls-cert", c.certFile}, {"--tls-key", c.keyFile}, {"--client-ca", c.clientCAFile},
	} {
		if file.path == "" {
			continue
		}
		content, readErr := os.ReadFile(file.path)
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", file.flag, readErr))
		}
		contents = append(contents, content)
	}
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.config != nil && equal(contents, c.contents) {
		return false, nil
	}
	config, err := newTLSConfig(contents)
	if err != nil {
		return false, err
	}
	c.contents, c.config = contents, config
	return true, nil
}

func equal(a, b [][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// newTLSConfig makes a TLS configuration from the contents of certificate, key and, if there is a third, client CA.
func newTLSConfig(contents [][]byte) (*tls.Config, error) {
	certificate, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
		NextProtos: []string{"h2", "http/1.1"},
		// A resumed session would not verify the client certificate against a client CA that has changed since.
		SessionTicketsDisabled: len(contents) > 2,
	}
	if len(contents) > 2 {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return nil, errors.New("--client-ca: the file contains no certificate in PEM")
		}
	}
	return config, nil
}

// serverConfig returns a configuration that uses the latest content of the files for each new connection.
func (c *certificates) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c.mu.RLock()
			defer c.mu.RUnlock()
			return c.config, nil
		},
	}
}
