package names

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
	"time"
)

const (
	maxNameBytes = 63 // of a DNS label: a Pod's name is also its hostname
	hashChars    = 10
	prefixBytes  = maxNameBytes - hashChars - 1
)

const base32Digits = "abcdefghijklmnopqrstuvwxyz234567"

// base32Lower is base32 in lower case, which a DNS label may contain.
var base32Lower = base32.NewEncoding(base32Digits).WithPadding(base32.NoPadding)

// Pod derives the name of an attempt's Pod: a readable prefix of run and task, cut so that the whole fits 63
// characters, then '-' and ten characters of a hash. The result is a DNS label for any names.
func Pod(controllerID, runUID, runName, task string, index, attempt int) string {
	hash := Hash(controllerID, runUID, task, strconv.Itoa(index), strconv.Itoa(attempt))
	return withHash(readable(runName, task), hash)
}

// Workspace derives the name of the claim of a run's workspace.
func Workspace(controllerID, runUID, runName string) string {
	return withHash(cutLabel(asLabel(runName), prefixBytes), Hash(controllerID, runUID, "workspace"))
}

// ScheduledRun derives the name of the DagRun that a DAG object gets at a due time.
func ScheduledRun(dag, dagUID string, due time.Time) string {
	hash := Hash(dagUID, dag, strconv.FormatInt(due.Unix(), 10))
	return withHash(cutLabel(asLabel(dag), prefixBytes), hash)
}

// withHash joins a readable prefix, which may be empty, and a hash.
func withHash(prefix, hash string) string {
	if prefix == "" {
		return hash
	}
	return prefix + "-" + hash
}

// Hash returns ten characters of a hash over the parts. Each is preceded by its length, so that different lists of
// parts are never hashed as the same text.
func Hash(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return base32Lower.EncodeToString(h.Sum(nil))[:hashChars]
}

// readable joins two names to the prefix of a DNS label. If they do not fit, the longer one is cut first. Neither is
// cut below half of the available length.
func readable(a, b string) string {
	a, b = asLabel(a), asLabel(b)
	if a == "" || b == "" {
		return cutLabel(a+b, prefixBytes)
	}
	room := prefixBytes - 1
	a = cutLabel(a, max(room-len(b), room/2))
	return a + "-" + cutLabel(b, room-len(a))
}

// asLabel maps a name to the characters of a DNS label. Each sequence of other characters becomes one '-', except at
// either end, where it is dropped.
func asLabel(name string) string {
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			b = append(b, c)
		case len(b) > 0 && b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	return strings.TrimRight(string(b), "-")
}

func cutLabel(label string, limit int) string {
	return strings.TrimRight(label[:min(len(label), limit)], "-")
}

// RunEvent derives the name of an Event of a DagRun from what it is about.
func RunEvent(runUID, runName, about string) string {
	const longest = 253 - 1 - hashChars // an Event's name is a DNS subdomain
	return strings.TrimRight(runName[:min(len(runName), longest)], "-.") + "." + Hash(runUID, about)
}

// IsDerived reports whether Pod may have derived a name: it ends in a hash.
func IsDerived(name string) bool {
	at := len(name) - hashChars
	return at > 0 && name[at-1] == '-' && strings.Trim(name[at:], base32Digits) == ""
}
