package webhook

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGuard(t *testing.T) {
	const deny = "10.1.0.0/16, 192.0.2.7,2001:db8::/32, ::ffff:203.0.113.0/120"
	tests := map[string]struct{ addr, refusal string }{ // an empty refusal means that the address is allowed
		"loopback":                 {"127.0.0.1", "loopback"},
		"all of loopback":          {"127.255.0.9", "loopback"},
		"loopback v6":              {"::1", "loopback"},
		"loopback, mapped":         {"::ffff:127.0.0.1", "loopback"},
		"loopback, compatible":     {"::127.0.0.1", "loopback"},
		"loopback, translated":     {"::ffff:0:127.0.0.1", "loopback"},
		"loopback, NAT64":          {"64:ff9b::7f00:1", "loopback"},
		"loopback, a site's NAT64": {"64:ff9b:1::7f00:1", "loopback"},
		"loopback, 6to4":           {"2002:7f00:1::1", "loopback"},
		"loopback, Teredo":         {"2001:0:1::80ff:fffe", "loopback"},
		"unspecified":              {"0.0.0.0", "unspecified"},
		"this network":             {"0.1.2.3", "unspecified"},
		"unspecified v6":           {"::", "unspecified"},
		"link-local":               {"169.254.1.1", "link-local"},
		"link-local v6":            {"fe80::1", "link-local"},
		"link-local with a zone":   {"fe80::1%eth0", "link-local"},
		"multicast":                {"224.0.0.1", "multicast"},
		"multicast v6":             {"ff05::2", "multicast"},
		"broadcast":                {"255.255.255.255", "broadcast or reserved"},
		"reserved":                 {"240.0.0.1", "broadcast or reserved"},
		"AWS":                      {"169.254.169.254", "a cloud metadata service"},
		"AWS, mapped":              {"::ffff:a9fe:a9fe", "a cloud metadata service"},
		"AWS, NAT64":               {"64:ff9b::a9fe:a9fe", "a cloud metadata service"},
		"AWS v6":                   {"fd00:ec2::254", "a cloud metadata service"},
		"GCP v6":                   {"fd20:ce::254", "a cloud metadata service"},
		"Alibaba":                  {"100.100.100.200", "a cloud metadata service"},
		"Azure":                    {"168.63.129.16", "a cloud metadata service"},
		"Oracle":                   {"192.0.0.192", "a cloud metadata service"},
		"denied":                   {"10.1.2.3", "--webhook-deny has 10.1.0.0/16"},
		"denied, mapped":           {"::ffff:10.1.2.3", "--webhook-deny has 10.1.0.0/16"},
		"denied, 6to4":             {"2002:a01:203::", "--webhook-deny has 10.1.0.0/16"},
		"denied alone":             {"192.0.2.7", "--webhook-deny has 192.0.2.7/32"},
		"denied v6":                {"2001:db8::1", "--webhook-deny has 2001:db8::/32"},
		"denied as mapped":         {"203.0.113.9", "--webhook-deny has 203.0.113.0/24"},
		"private":                  {"10.2.0.1", ""},
		"private B":                {"172.16.0.1", ""},
		"private C":                {"192.168.1.1", ""},
		"private v6":               {"fd12::1", ""},
		"private, mapped":          {"::ffff:10.2.0.1", ""},
		"beside the denied":        {"192.0.2.8", ""},
		"carrier":                  {"100.64.0.1", ""},
		"public":                   {"93.184.216.34", ""},
		"public v6":                {"2606:4700::1", ""},
		"public, NAT64":            {"64:ff9b::5db8:d822", ""},
	}
	guard, err := NewGuard(deny)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			addr := netip.MustParseAddr(test.addr)
			want, got := "", ""
			if test.refusal != "" {
				want = "address " + addr.String() + " is refused: " + test.refusal
			}
			if err := guard.check(addr); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewGuard(t *testing.T) {
	tests := map[string]struct{ list, err string }{
		"an empty list refuses no further networks": {list: " "},
		"networks and addresses may be mixed":       {list: "10.0.0.0/8, 192.0.2.1,, fd00::/8"},
		"all invalid entries are named": {
			list: "10.0.0.0/8, 10.0.0.0/33,,nets,fe80::1%eth0",
			err:  `not a network such as 10.0.0.0/8 or fd00::/8: "10.0.0.0/33", "nets", "fe80::1%eth0"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if _, err := NewGuard(test.list); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.err, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
