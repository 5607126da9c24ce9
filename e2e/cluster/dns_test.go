package main

import (
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestAnswer(t *testing.T) {
	ip := netip.MustParseAddr("10.77.0.9")
	lookup := func(namespace, name string) (netip.Addr, bool) {
		return ip, namespace == "default" && name == "web"
	}
	for name, want := range map[string]dnsmessage.RCode{
		"web.default.svc.cluster.local.":        dnsmessage.RCodeSuccess,
		"WEB.default.svc.Cluster.local.":        dnsmessage.RCodeSuccess,
		"other.default.svc.cluster.local.":      dnsmessage.RCodeNameError,
		"web.svc.cluster.local.":                dnsmessage.RCodeNameError,
		"example.com.":                          dnsmessage.RCodeNameError,
		"web.default.svc.cluster.local.x.test.": dnsmessage.RCodeNameError,
	} {
		query := dnsmessage.Message{
			Header: dnsmessage.Header{ID: 7},
			Questions: []dnsmessage.Question{
				{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
			},
		}
		data, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if data, err = answer(data, lookup); err != nil {
			t.Fatal(err)
		}
		var got dnsmessage.Message
		if err := got.Unpack(data); err != nil {
			t.Fatal(err)
		}
		if got.ID != 7 || got.RCode != want || (len(got.Answers) == 1) != (want == dnsmessage.RCodeSuccess) {
			t.Errorf("%s: %v with %d answers, want %v", name, got.RCode, len(got.Answers), want)
		}
	}
	if _, err := answer([]byte("not a query"), lookup); err == nil {
		t.Error("answer accepts noise")
	}
}
