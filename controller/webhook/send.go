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
)

const (
	// Timeout bounds a send, redirects and all.
	Timeout = 10 * time.Second
	// maxRedirects is how many redirects are followed.
	maxRedirects = 5
	// maxKept is how much of an answer is kept, maxRead how much is read.
	maxKept = 1 << 10
	maxRead = 64 << 10
)

// Request is a notification to send.
type Request struct {
	URL string
	// VerifySSL: the URL, and what it redirects to, must be https with a certificate that the system trusts.
	VerifySSL bool
	Header    http.Header
	Body      []byte
}

// Answer is how a send went: Err is nil after an answer of 200 to 299. Status is 0 without an answer, Text the beginning
// of what it said.
type Answer struct {
	Status int
	Text   string
	Err    error
	// Final: it will never go otherwise.
	Final bool
}

// Sender sends notifications. It keeps nothing between two sends, not even connections.
type Sender struct {
	verifying, trusting http.RoundTripper // not clients, which quote URLs in their errors
}

// NewSender makes a sender that connects to what guard allows.
func NewSender(guard Guard) *Sender {
	return newSender(&net.Dialer{Control: guard.control})
}

func newSender(dialer *net.Dialer) *Sender {
	door := func(verify bool) http.RoundTripper {
		return &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !verify},
		}
	}
	return &Sender{verifying: door(true), trusting: door(false)}
}

// Send posts a notification, within Timeout, and follows redirects that keep method and body.
func (s *Sender) Send(ctx context.Context, r Request) Answer {
	ctx, cancel := context.WithTimeoutCause(ctx, Timeout, errTimeout)
	defer cancel()
	door := s.trusting
	if r.VerifySSL {
		door = s.verifying
	}
	var hide redactor
	to, err := url.Parse(r.URL)
	if err != nil {
		return Answer{Err: errors.New("spec.webhook.url is not a URL"), Final: true}
	}
	for hops := 0; ; hops++ {
		hide.add(to)
		if err := checkURL(to, r.VerifySSL); err != nil {
			return Answer{Err: err, Final: hops == 0}
		}
		answer, location, err := post(ctx, door, to, r)
		next, unparsed := to.Parse(location)
		if unparsed == nil {
			hide.add(next) // its text may repeat it, also where it is not followed
		}
		answer.Text = cut(hide.hide(printable(answer.Text)))
		switch {
		case err != nil:
			answer.Err = errors.New(hide.hide(plain(ctx, err)))
			return answer
		case answer.Status >= 200 && answer.Status <= 299:
			return answer
		case answer.Status != http.StatusTemporaryRedirect && answer.Status != http.StatusPermanentRedirect:
			answer.Err = fmt.Errorf("the receiver answered %s", statusText(answer.Status))
			return answer
		case hops == maxRedirects:
			answer.Err = fmt.Errorf("the receiver redirects more than %d times", maxRedirects)
			return answer
		}
		if unparsed != nil || location == "" {
			answer.Err = fmt.Errorf("the receiver answered %d without a URL to follow", answer.Status)
			return answer
		}
		to = next
	}
}

// errTimeout is the cause of a send that took too long.
var errTimeout = fmt.Errorf("no answer within %d seconds", int(Timeout.Seconds()))

// checkURL checks where a hop leads, without quoting it.
func checkURL(to *url.URL, verify bool) error {
	switch {
	case to.Host == "" || to.Scheme != "http" && to.Scheme != "https":
		return errors.New("the URL, or one that it redirects to, is neither http nor https")
	case verify && to.Scheme != "https":
		return errors.New("verifySSL is set, and the URL, or one that it redirects to, is not https: nothing can be verified")
	}
	return nil
}

func post(ctx context.Context, door http.RoundTripper, to *url.URL, r Request) (answer Answer, location string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, "", err
	}
	request.Header = r.Header.Clone()
	if to.User != nil {
		password, _ := to.User.Password()
		request.SetBasicAuth(to.User.Username(), password)
	}
	response, err := door.RoundTrip(request)
	if err != nil {
		return Answer{}, "", err
	}
	defer response.Body.Close()
	// The status is the answer, whatever becomes of its text.
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxRead))
	return Answer{Status: response.StatusCode, Text: string(text)}, response.Header.Get("Location"), nil
}

// plain is what went wrong.
func plain(ctx context.Context, err error) string {
	if refused, ok := errors.AsType[*refusedError](err); ok {
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

// printable is text from outside in one line.
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

func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxKept)], "")
}

// redactor hides the parts of URLs that may be tokens: receivers like to repeat where they were asked.
type redactor []string

// shortToken is the length of the shortest part that may be one.
const shortToken = 6

func (h *redactor) add(u *url.URL) {
	parts := strings.FieldsFunc(u.EscapedPath()+"/"+u.Path+"/"+u.Fragment, func(r rune) bool { return r == '/' })
	parts = append(parts, strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' || r == '=' || r == ';' })...)
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		// Sent as a header, which some receivers repeat.
		parts = append(parts, u.User.Username(), password, base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	for _, part := range parts {
		if len(part) >= shortToken {
			*h = append(*h, part)
		}
	}
	slices.SortFunc(*h, func(a, b string) int { return len(b) - len(a) }) // one part may be within another
}

func (h redactor) hide(s string) string {
	for _, part := range h {
		s = strings.ReplaceAll(s, part, "[…]")
	}
	return s
}
