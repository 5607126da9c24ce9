package logs

import "kontroler/controller/podlog"

// SpendBudget leaves streams no memory except for the first and the last block of each.
func (k *Keeper) SpendBudget() { k.streams.budget = podlog.NewBudget(0) }

// Remembers returns of how many Pods something is remembered.
func (k *Keeper) Remembers() (n int) {
	k.failedSince.Range(func(any, any) bool { n++; return true })
	k.streams.mu.Lock()
	defer k.streams.mu.Unlock()
	return n + len(k.streams.byPod)
}
