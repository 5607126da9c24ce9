package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
)

// minKey is the length of a key in bytes: that of the output of HS256.
const minKey = 32

// Keys are the keys of session tokens. The first key signs; all keys verify, so that a key can be replaced without
// ending sessions.
type Keys struct {
	path string

	mu      sync.RWMutex
	content []byte
	byID    map[string][]byte
	signing string
}

// OpenKeys reads a key file.
func OpenKeys(path string) (*Keys, error) {
	k := &Keys{path: path}
	_, err := k.Reload()
	return k, err
}

// Reload reads the file, and replaces the keys if it has changed. After an error the old keys stay. No error contains a
// key.
func (k *Keys) Reload() (hasChanged bool, err error) {
	content, err := os.ReadFile(k.path)
	if err != nil {
		return false, fmt.Errorf("reading the key file: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID != nil && bytes.Equal(content, k.content) {
		return false, nil
	}
	byID, signing, err := parseKeys(content)
	if err != nil {
		return false, fmt.Errorf("%s: %w", k.path, err)
	}
	k.content, k.byID, k.signing = content, byID, signing
	return true, nil
}

// parseKeys parses a file with one key a line. It ignores blank lines and lines that begin with #. signing is the id of
// the first key.
func parseKeys(content []byte) (byID map[string][]byte, signing string, err error) {
	byID = map[string][]byte{}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		key := bytes.TrimSpace(line)
		if len(key) == 0 || key[0] == '#' {
			continue
		}
		if len(key) < minKey {
			return nil, "", fmt.Errorf(
				"line %d: the key has %d bytes and needs %d. Make one with: openssl rand -base64 48",
				number, len(key), minKey)
		}
		sum := sha256.Sum256(append([]byte("kontroler kid "), key...))
		id := hex.EncodeToString(sum[:8])
		byID[id] = bytes.Clone(key)
		if signing == "" {
			signing = id
		}
	}
	if signing == "" {
		return nil, "", errors.New("the file has no key. Make one with: openssl rand -base64 48")
	}
	return byID, signing, nil
}

// signer returns the key that signs, and its id.
func (k *Keys) signer() (id string, key []byte) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.signing, k.byID[k.signing]
}

// ids returns the ids of all keys. That of the key that signs is the first.
func (k *Keys) ids() []string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	ids := []string{k.signing}
	for _, id := range slices.Sorted(maps.Keys(k.byID)) {
		if id != k.signing {
			ids = append(ids, id)
		}
	}
	return ids
}

// key returns the key with this id.
func (k *Keys) key(id string) (key []byte, isKnown bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, isKnown = k.byID[id]
	return key, isKnown
}
