package versions

import (
	"errors"
	"sync"
	"testing"
)

// Callers that come while a call runs share the next one, which begins after the call that they found.
func TestSharedCallsBeginAfterTheirCallers(t *testing.T) {
	s := NewShared[string, int]()
	calls := 0
	began, proceed := make(chan struct{}), make(chan struct{})
	first := make(chan int)
	go func() {
		value, _ := s.Do("a", func() (int, error) {
			calls++
			close(began)
			<-proceed
			return calls, nil
		})
		first <- value
	}()
	<-began
	var later sync.WaitGroup
	for range 10 {
		later.Go(func() {
			value, err := s.Do("a", func() (int, error) {
				calls++
				return calls, nil
			})
			if value < 2 || err != nil {
				t.Errorf("a later caller was given call %d, %v", value, err)
			}
		})
	}
	if value, err := s.Do("b", func() (int, error) { return 7, nil }); value != 7 || err != nil {
		t.Errorf("another key: %d, %v", value, err)
	}
	for {
		s.mu.Lock()
		isWaiting := s.next["a"] != nil
		s.mu.Unlock()
		if isWaiting {
			break
		}
	}
	close(proceed)
	if value := <-first; value != 1 {
		t.Errorf("the first caller was given call %d", value)
	}
	later.Wait()
	if len(s.running) > 0 || len(s.next) > 0 {
		t.Errorf("calls are left: %v, %v", s.running, s.next)
	}
}

func TestSharedErrors(t *testing.T) {
	s, failed := NewShared[string, int](), errors.New("failed")
	if _, err := s.Do("a", func() (int, error) { return 0, failed }); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of a call is lost")
			}
		}()
		_, _ = s.Do("a", func() (int, error) { panic("broken") })
	}()
	if value, err := s.Do("a", func() (int, error) { return 3, nil }); value != 3 || err != nil {
		t.Errorf("after a panic: %d, %v", value, err)
	}
}
