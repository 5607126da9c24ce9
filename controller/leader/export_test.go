package leader

// Fresh reports whether this process is in a term and has renewed the Lease within the renew deadline.
func (e *Elector) Fresh() bool {
	lock := e.term.Load()
	return lock != nil && lock.isFresh()
}
