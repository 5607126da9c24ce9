package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"
)

// Times that suit tests of node loss. A node that falls silent is NotReady
// after nodeGrace, and its Pods are evicted tolerationSeconds later.
const (
	nodeGrace         = 15 * time.Second
	tolerationSeconds = 20
)

// runControl runs the control machine.
func runControl(ctx context.Context, s *supervisor) error {
	c := s.cluster
	if err := syscall.Sethostname([]byte(c.id())); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	exeDir, err := exeDir()
	if err != nil {
		return err
	}
	if err := privateMounts(c.Dir, exeDir); err != nil {
		return err
	}
	if err := prepareAudit(c); err != nil {
		return err
	}
	const etcd = "127.0.0.1:2379"
	if err := s.start("etcd", etcdArgs(c, etcd)...); err != nil {
		return err
	}
	if !c.Bare {
		if err := serveImages(c, exeDir); err != nil {
			return err
		}
	}
	if err := waitListening(ctx, etcd); err != nil {
		return err
	}
	if err := s.start("kube-apiserver", apiServerArgs(c, etcd)...); err != nil {
		return err
	}
	if err := waitAPIServer(ctx, c); err != nil {
		return err
	}
	if err := s.start("kube-controller-manager", controllerManagerArgs(c)...); err != nil {
		return err
	}
	if c.Bare {
		return nil
	}
	if err := s.start("kube-scheduler", schedulerArgs(c)...); err != nil {
		return err
	}
	if err := serveVolumes(ctx, c); err != nil {
		return err
	}
	return serveDNS(ctx, c)
}

// etcdArgs trade safety for speed: the data is thrown away with the cluster.
func etcdArgs(c *Cluster, addr string) []string {
	return []string{
		"--data-dir=" + c.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://" + addr, "--advertise-client-urls=http://" + addr,
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--heartbeat-interval=50", "--election-timeout=500",
		"--quota-backend-bytes=8589934592",
	}
}

func apiServerArgs(c *Cluster, etcd string) []string {
	args := []string{
		"--etcd-servers=http://" + etcd,
		"--bind-address=0.0.0.0", fmt.Sprintf("--secure-port=%d", apiPort),
		"--advertise-address=" + c.controlIP().String(),
		"--service-cluster-ip-range=" + c.serviceNet().String(),
		"--tls-cert-file=" + c.pkiFile("apiserver", "crt"),
		"--tls-private-key-file=" + c.pkiFile("apiserver", "key"),
		"--client-ca-file=" + c.pkiFile("ca", "crt"),
		"--kubelet-certificate-authority=" + c.pkiFile("ca", "crt"),
		"--kubelet-client-certificate=" + c.pkiFile("apiserver-kubelet-client", "crt"),
		"--kubelet-client-key=" + c.pkiFile("apiserver-kubelet-client", "key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + c.pkiFile("ca", "crt"),
		"--requestheader-allowed-names=" + frontProxy,
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pkiFile("front-proxy", "crt"),
		"--proxy-client-key-file=" + c.pkiFile("front-proxy", "key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pkiFile("sa", "key"),
		"--service-account-signing-key-file=" + c.pkiFile("sa", "key"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		fmt.Sprintf("--default-not-ready-toleration-seconds=%d", tolerationSeconds),
		fmt.Sprintf("--default-unreachable-toleration-seconds=%d", tolerationSeconds),
	}
	return slices.Concat(args, auditArgs(c), c.APIServerArgs)
}

func controllerManagerArgs(c *Cluster) []string {
	kubeconfig := c.pkiFile("controller-manager", "kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.pkiFile("sa", "key"),
		"--root-ca-file=" + c.pkiFile("ca", "crt"),
		"--cluster-signing-cert-file=" + c.pkiFile("ca", "crt"),
		"--cluster-signing-key-file=" + c.pkiFile("ca", "key"),
		"--node-monitor-period=2s", "--node-monitor-grace-period=" + nodeGrace.String(),
		"--pvclaimbinder-sync-period=" + bindPeriod.String(),
	}
}

func schedulerArgs(c *Cluster) []string {
	kubeconfig := c.pkiFile("scheduler", "kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000",
	}
}

// waitListening waits until something accepts connections at an address.
func waitListening(ctx context.Context, addr string) error {
	err := poll(ctx, func() (bool, error) {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", addr, err)
	}
	return nil
}

// waitAPIServer waits until the API server says that it is ready, which anyone
// may ask.
func waitAPIServer(ctx context.Context, c *Cluster) error {
	ca, err := os.ReadFile(c.pkiFile("ca", "crt"))
	if err != nil {
		return fmt.Errorf("reading the authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("reading the authority: no certificate in it")
	}
	client := &http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	defer client.CloseIdleConnections()
	err = poll(ctx, func() (bool, error) {
		resp, err := client.Get(c.apiURL() + "/readyz")
		if err != nil {
			return false, nil
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the API server: %w", err)
	}
	return nil
}
