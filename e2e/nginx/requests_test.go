package nginx_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"kontroler/e2e/site"
)

// answer is an answer that has come whole.
type answer struct {
	*http.Response
	body string
}

// send sends a request by a client of its own, without cookies and without redirects.
func send(t *testing.T, config *tls.Config, request *http.Request) (answer, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, DisableCompression: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	response, err := client.Do(request.WithContext(t.Context()))
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response, string(body)}, err
}

// do sends a request to the site over plain HTTP. Header lines are "Name: value".
func do(t *testing.T, s *site.Site, method, path, body string, header ...string) answer {
	t.Helper()
	a, err := send(t, nil, newRequest(t, method, "http://"+s.Address+":8080"+path, body, header...))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newRequest(t *testing.T, method, url, body string, header ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	return request
}
