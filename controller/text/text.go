package text

import "strings"

// MaxBytes is the limit of texts that are stored, and of the message of an Event, in bytes.
const MaxBytes = 1024

// Shorten cuts a text to at most limit bytes, between characters. A text that was cut ends in "…".
func Shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// Clean makes a text of the cluster fit to be stored and shown: valid UTF-8 without NUL, which PostgreSQL refuses,
// without leading and trailing space, at most MaxBytes.
func Clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	return Shorten(strings.TrimSpace(s), MaxBytes)
}
