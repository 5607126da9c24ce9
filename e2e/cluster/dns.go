package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const dnsZone = ".svc.cluster.local."

// serveDNS answers Pods' questions for the addresses of Services, and says at
// once that any other name does not exist. It knows neither headless Services
// nor other records than A, and answers over UDP alone.
func serveDNS(ctx context.Context, c *Cluster) error {
	config, err := clientcmd.BuildConfigFromFlags("", c.pkiFile("proxy", "kubeconfig"))
	if err != nil {
		return fmt.Errorf("reading a kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	synced := services.Informer().HasSynced
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		return fmt.Errorf("listing Services: %w", context.Cause(ctx))
	}
	conn, err := net.ListenPacket("udp", netip.AddrPortFrom(c.controlIP(), 53).String())
	if err != nil {
		return fmt.Errorf("starting DNS: %w", err)
	}
	go answerAll(conn, services.Lister())
	return nil
}

func answerAll(conn net.PacketConn, services listers.ServiceLister) {
	buffer := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			fmt.Fprintln(os.Stderr, "serving DNS:", err)
			time.Sleep(pollInterval)
			continue
		}
		response, err := answer(buffer[:n], func(namespace, name string) (netip.Addr, bool) {
			service, err := services.Services(namespace).Get(name)
			if err != nil || service.Spec.ClusterIP == corev1.ClusterIPNone {
				return netip.Addr{}, false
			}
			ip, err := netip.ParseAddr(service.Spec.ClusterIP)
			return ip, err == nil
		})
		if err == nil {
			_, err = conn.WriteTo(response, from)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "serving DNS:", err)
		}
	}
}

// answer makes the response to one query; lookup finds a Service's address.
func answer(query []byte, lookup func(namespace, name string) (netip.Addr, bool)) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, fmt.Errorf("reading a query: %w", err)
	}
	response := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired,
			RecursionAvailable: true, RCode: dnsmessage.RCodeNameError,
		},
		Questions: m.Questions,
	}
	if len(m.Questions) == 1 {
		q := m.Questions[0]
		service, found := strings.CutSuffix(strings.ToLower(q.Name.String()), dnsZone)
		name, namespace, two := strings.Cut(service, ".")
		if found && two {
			if ip, ok := lookup(namespace, name); ok {
				response.RCode = dnsmessage.RCodeSuccess
				if q.Type == dnsmessage.TypeA {
					response.Answers = []dnsmessage.Resource{{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 5},
						Body:   &dnsmessage.AResource{A: ip.As4()},
					}}
				}
			}
		}
	}
	return response.Pack()
}
