package dag

import (
	"math"
	"slices"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
)

// The defaults of a retry policy.
const (
	defaultRetryDuration    = 10 * time.Second
	defaultRetryMaxDuration = 5 * time.Minute
	defaultRetryFactor      = 2
)

// RetryPolicy is the retry policy of a task with defaults applied. It covers the task's own failures. Infrastructure
// failures have a budget elsewhere.
type RetryPolicy struct {
	// Limit is the number of retries after the first failed attempt.
	Limit int
	// Conditional limits retries to ends with one of Codes.
	Conditional bool
	// Codes are the exit codes that are retried. Numbers outside 0 to 255 match nothing. The slice is shared with the
	// spec and read-only.
	Codes []int64
	// Duration is the delay before the first retry.
	Duration time.Duration
	// MaxDuration is the maximum delay.
	MaxDuration time.Duration
	// Factor by which the delay grows with each retry, at least 1.
	Factor int
}

// Retry returns the retry policy of a task. A duration above the default of maxDuration raises maxDuration, unless
// that is set.
func Retry(t *v1alpha1.Task) RetryPolicy {
	p := RetryPolicy{
		Duration:    defaultRetryDuration,
		MaxDuration: defaultRetryMaxDuration,
		Factor:      defaultRetryFactor,
	}
	if t == nil {
		return p
	}
	if c := t.Conditional; c != nil {
		p.Conditional, p.Codes = c.Enabled != nil && *c.Enabled, c.RetryCodes
	}
	b := t.Backoff
	if b == nil {
		return p
	}
	if b.Limit != nil {
		p.Limit = int(min(max(0, *b.Limit), math.MaxInt32))
	}
	if b.Factor != nil {
		p.Factor = max(1, int(*b.Factor))
	}
	if b.Duration != nil {
		p.Duration = max(0, b.Duration.Duration)
		p.MaxDuration = max(p.MaxDuration, p.Duration)
	}
	if b.MaxDuration != nil {
		p.MaxDuration = max(0, b.MaxDuration.Duration)
	}
	return p
}

// Delay returns how long to wait before the given retry, counted from 1: Duration * Factor^(retry-1), at most
// MaxDuration. It is safe for any retry number.
func (p RetryPolicy) Delay(retry int) time.Duration {
	delay, factor := p.Duration, time.Duration(p.Factor)
	if delay <= 0 || p.MaxDuration <= 0 {
		return 0
	}
	if factor <= 1 {
		return min(delay, p.MaxDuration)
	}
	for n := 1; n < retry; n++ {
		if delay > p.MaxDuration/factor {
			return p.MaxDuration
		}
		delay *= factor
	}
	return min(delay, p.MaxDuration)
}

// Retries reports whether an attempt with this exit code is retried. The exit code is nil if the attempt ended
// without one. It does not check Limit.
func (p RetryPolicy) Retries(exitCode *int32) bool {
	if !p.Conditional {
		return true
	}
	return exitCode != nil && slices.Contains(p.Codes, int64(*exitCode))
}
