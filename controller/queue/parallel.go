package queue

import "sync"

// concurrency bounds the concurrent calls of one Parallel.
const concurrency = 16

// Parallel calls f with 0 to n-1, some of them concurrently, and returns the first error.
func Parallel(n int, f func(int) error) error {
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
		slots = make(chan struct{}, concurrency)
	)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := Guard(i, func() error { return f(i) }); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first
}
