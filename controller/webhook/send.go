package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"kontroler/controller/text"
)

const (
	// sendTimeout bounds a send, with all redirects.
	sendTimeout = 10 * time.Second
	// maxRedirects is how many redirects are followed.
	maxRedirects = 5
	// maxKept bounds how much of an answer is stored, maxRead how much is read, in bytes.
	maxKept = 1 << 10
	maxRead = 64 << 10
)

// request is a notification to send.
type request struct {
	url string
	// verifySSL requires https, with a certificate that the system trusts, for the URL and for those it redirects to.
	verifySSL bool
	header    http.Header
	body      []byte
}

// answer is the outcome of a send.
type answer struct {
	status int    // 0 without an answer
	text   string // the beginning of the body
	err    error  // nil after a status of 200 to 299
	// isFinal reports that a retry would have the same outcome.
	isFinal bool
}

// sender sends notifications. It keeps nothing between two sends, not even connections.
type sender struct {
	// These are transports, because the errors of an http.Client contain the URL.
	verifying, trusting http.RoundTripper
}

// newSender makes a sender that connects to the addresses that guard allows.
func newSender(guard Guard) *sender {
	return newSenderWith(&net.Dialer{Control: guard.control})
}

func newSenderWith(dialer *net.Dialer) *sender {
	transport := func(verify bool) http.RoundTripper {
		return &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !verify},
		}
	}
	return &sender{verifying: transport(true), trusting: transport(false)}
}

// send posts a notification, within sendTimeout. It follows redirects that keep method and body.
func (s *sender) send(ctx context.Context, r request) answer {
	ctx, cancel := context.WithTimeoutCause(ctx, sendTimeout, errTimeout)
	defer cancel()
	transport := s.trusting
	if r.verifySSL {
		transport = s.verifying
	}
	var secrets redactor
	to, err := url.Parse(r.url)
	if err != nil {
		return answer{err: errors.New("spec.webhook.url is not a URL"), isFinal: true}
	}
	for redirects := 0; ; redirects++ {
		secrets.add(to)
		if err := checkURL(to, r.verifySSL); err != nil {
			return answer{err: err, isFinal: redirects == 0}
		}
		a, location, err := post(ctx, transport, to, r)
		next, parseErr := to.Parse(location)
		if parseErr == nil {
			secrets.add(next) // the body of the answer may repeat it
		}
		a.text = text.Shorten(secrets.redact(printable(a.text)), maxKept)
		switch {
		case err != nil:
			a.err = errors.New(secrets.redact(describe(ctx, err)))
			return a
		case a.status >= 200 && a.status <= 299:
			return a
		case a.status != http.StatusTemporaryRedirect && a.status != http.StatusPermanentRedirect:
			a.err = fmt.Errorf("the receiver answered %s", statusText(a.status))
			return a
		case redirects == maxRedirects:
			a.err = fmt.Errorf("the receiver redirects more than %d times", maxRedirects)
			return a
		case parseErr != nil || location == "":
			a.err = fmt.Errorf("the receiver answered %d without a URL to follow", a.status)
			return a
		}
		to = next
	}
}

// errTimeout is the cause of a send that took too long.
var errTimeout = fmt.Errorf("no answer within %d seconds", int(sendTimeout.Seconds()))

// checkURL checks the scheme of a URL. Its error does not quote the URL.
func checkURL(to *url.URL, verify bool) error {
	switch {
	case to.Host == "" || to.Scheme != "http" && to.Scheme != "https":
		return errors.New("the URL, or one that it redirects to, is neither http nor https")
	case verify && to.Scheme != "https":
		return errors.New("verifySSL is set, but the URL, or one that it redirects to, is not https")
	}
	return nil
}

// post sends one request. location is where a redirect leads.
func post(ctx context.Context, transport http.RoundTripper, to *url.URL, r request) (
	a answer, location string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(r.body))
	if err != nil {
		return answer{}, "", err
	}
	req.Header = r.header.Clone()
	if to.User != nil {
		password, _ := to.User.Password()
		req.SetBasicAuth(to.User.Username(), password)
	}
	response, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, "", err
	}
	defer response.Body.Close()
	// The status alone decides. A body that cannot be read does not matter.
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxRead))
	return answer{status: response.StatusCode, text: string(body)}, response.Header.Get("Location"), nil
}

// describe describes the error of a request in one line.
func describe(ctx context.Context, err error) string {
	if refused, ok := errors.AsType[refusedError](err); ok {
		return refused.Error()
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause.Error()
	}
	return printable(err.Error())
}

func statusText(status int) string {
	text := strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	if status >= 300 && status <= 399 {
		text += ": of the redirects only 307 and 308 keep method and body, and are followed"
	}
	return text
}

// printable turns an untrusted text into one line, and replaces characters that cannot be printed.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// redactor holds the parts of URLs that may be tokens. Receivers often repeat the URL in their answer.
type redactor []string

// minToken is the length of the shortest part that may be a token, in bytes.
const minToken = 6

// add adds the parts of a URL.
func (r *redactor) add(u *url.URL) {
	parts := strings.FieldsFunc(u.EscapedPath()+"/"+u.Path+"/"+u.Fragment, func(c rune) bool { return c == '/' })
	parts = append(parts,
		strings.FieldsFunc(u.RawQuery, func(c rune) bool { return c == '&' || c == '=' || c == ';' })...)
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		// The header has user and password in this form. Some receivers repeat headers.
		basic := base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password))
		parts = append(parts, u.User.Username(), password, basic)
	}
	for _, part := range parts {
		if len(part) >= minToken {
			*r = append(*r, part)
		}
	}
	slices.SortFunc(*r, func(a, b string) int { return len(b) - len(a) }) // one part may contain another
}

// redact replaces the parts in a text.
func (r redactor) redact(s string) string {
	for _, part := range r {
		s = strings.ReplaceAll(s, part, "[…]")
	}
	return s
}
