package dag_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

func TestRetry(t *testing.T) {
	d := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	defaults := dag.RetryPolicy{Duration: 10 * time.Second, MaxDuration: 5 * time.Minute, Factor: 2}
	for name, c := range map[string]struct {
		backoff     *v1alpha1.Backoff
		conditional *v1alpha1.Conditional
		want        dag.RetryPolicy
	}{
		"a task without a policy has the defaults": {want: defaults},
		"empty fields mean the defaults": {
			backoff: &v1alpha1.Backoff{}, conditional: &v1alpha1.Conditional{}, want: defaults,
		},
		"an old manifest sets a limit and retryCodes": {
			&v1alpha1.Backoff{Limit: new(int64(3))},
			&v1alpha1.Conditional{Enabled: new(true), RetryCodes: []int64{8, 1}},
			dag.RetryPolicy{
				Limit: 3, Conditional: true, Codes: []int64{
					8, 1,
				}, Duration: 10 * time.Second, MaxDuration: 5 * time.Minute, Factor: 2,
			},
		},
		"all fields are used": {
			&v1alpha1.Backoff{
				Limit: new(int64(1)), Duration: d(time.Second), Factor: ptr[int32](3), MaxDuration: d(4 * time.Second),
			}, nil,
			dag.RetryPolicy{Limit: 1, Duration: time.Second, MaxDuration: 4 * time.Second, Factor: 3},
		},
		"a duration above the default maximum raises it": {
			&v1alpha1.Backoff{Duration: d(time.Hour)}, nil,
			dag.RetryPolicy{Duration: time.Hour, MaxDuration: time.Hour, Factor: 2},
		},
		"the limit is at most an int32": {
			&v1alpha1.Backoff{Limit: new(int64(math.MaxInt64))}, nil,
			dag.RetryPolicy{Limit: math.MaxInt32, Duration: 10 * time.Second, MaxDuration: 5 * time.Minute, Factor: 2},
		},
		"values that bypass the schema are corrected": {
			&v1alpha1.Backoff{Limit: new(int64(-1)), Duration: d(-1), Factor: ptr[int32](-1), MaxDuration: d(-1)}, nil,
			dag.RetryPolicy{Factor: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			task := task("a")
			task.Backoff, task.Conditional = c.backoff, c.conditional
			if diff := cmp.Diff(c.want, dag.Retry(&task)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(defaults, dag.Retry(nil)); diff != "" {
		t.Errorf("no task (-want +got):\n%s", diff)
	}
}

func TestDelay(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		policy dag.RetryPolicy
		retry  int
		want   time.Duration
	}{
		"the first delay is the duration": {
			dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 2}, 1, 10 * s,
		},
		"the fifth delay has four factors": {
			dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 2}, 5, 160 * s,
		},
		"the delay is at most the maximum": {
			dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 2}, 6, 300 * s,
		},
		"the first delay is at most the maximum": {dag.RetryPolicy{Duration: 10 * s, MaxDuration: s, Factor: 2}, 1, s},
		"factor 1 keeps the delay constant": {
			dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 1}, math.MaxInt, 10 * s,
		},
		"factor 0 counts as 1": {dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s}, 3, 10 * s},
		"a retry number below one counts as the first": {
			dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 2}, math.MinInt, 10 * s,
		},
		"no duration means no delay":         {dag.RetryPolicy{MaxDuration: 300 * s, Factor: 2}, math.MaxInt, 0},
		"a negative duration means no delay": {dag.RetryPolicy{Duration: -s, MaxDuration: 300 * s, Factor: 2}, 2, 0},
		"a maximum of 0 means no delay":      {dag.RetryPolicy{Duration: s, Factor: 2}, 2, 0},
		"the delay does not overflow": {
			dag.RetryPolicy{Duration: s, MaxDuration: math.MaxInt64, Factor: 100}, math.MaxInt, math.MaxInt64,
		},
		"the second delay does not overflow": {
			dag.RetryPolicy{Duration: math.MaxInt64, MaxDuration: math.MaxInt64, Factor: 2}, 2, math.MaxInt64,
		},
		"the largest factor does not overflow": {
			dag.RetryPolicy{Duration: s, MaxDuration: 300 * s, Factor: math.MaxInt}, 2, 300 * s,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.Delay(c.retry); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	codes := dag.RetryPolicy{Conditional: true, Codes: []int64{1, 137}}
	for name, c := range map[string]struct {
		policy dag.RetryPolicy
		code   *int32
		want   bool
	}{
		"without a condition every exit code is retried":     {dag.RetryPolicy{}, ptr[int32](3), true},
		"without a condition a missing exit code is retried": {dag.RetryPolicy{}, nil, true},
		"codes that are not enabled do not matter": {
			dag.RetryPolicy{Codes: []int64{1}}, ptr[int32](3), true,
		},
		"a listed exit code is retried":                       {codes, ptr[int32](137), true},
		"an unlisted exit code is not retried":                {codes, ptr[int32](2), false},
		"with a condition a missing exit code is not retried": {codes, nil, false},
		"codes outside 0 to 255 match nothing": {
			dag.RetryPolicy{Conditional: true, Codes: []int64{-1, 256, 1 << 32}}, ptr[int32](0), false,
		},
		"a condition without codes retries nothing": {dag.RetryPolicy{Conditional: true}, ptr[int32](1), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.Retries(c.code); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
