package logs

// Remembers returns of how many Pods something is remembered.
func (k *Keeper) Remembers() (n int) {
	k.failedSince.Range(func(any, any) bool { n++; return true })
	k.streams.mu.Lock()
	defer k.streams.mu.Unlock()
	return n + len(k.streams.byPod)
}
