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
		"nothing": {want: defaults},
		"empty":   {backoff: &v1alpha1.Backoff{}, conditional: &v1alpha1.Conditional{}, want: defaults},
		"old style": {
			&v1alpha1.Backoff{Limit: new(int64(3))}, &v1alpha1.Conditional{Enabled: new(true), RetryCodes: []int64{8, 1}},
			dag.RetryPolicy{
				Limit: 3, Conditional: true, Codes: []int64{8, 1}, Duration: 10 * time.Second, MaxDuration: 5 * time.Minute, Factor: 2,
			},
		},
		"all given": {
			&v1alpha1.Backoff{Limit: new(int64(1)), Duration: d(time.Second), Factor: ptr[int32](3), MaxDuration: d(4 * time.Second)}, nil,
			dag.RetryPolicy{Limit: 1, Duration: time.Second, MaxDuration: 4 * time.Second, Factor: 3},
		},
		"a duration above the default bound": {
			&v1alpha1.Backoff{Duration: d(time.Hour)}, nil,
			dag.RetryPolicy{Duration: time.Hour, MaxDuration: time.Hour, Factor: 2},
		},
		"more retries than a counter holds": {
			&v1alpha1.Backoff{Limit: new(int64(math.MaxInt64))}, nil,
			dag.RetryPolicy{Limit: math.MaxInt32, Duration: 10 * time.Second, MaxDuration: 5 * time.Minute, Factor: 2},
		},
		"not through the schema": {
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
		"first":              {dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 2}, 1, 10 * s},
		"fifth":              {dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 2}, 5, 160 * s},
		"bounded":            {dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 2}, 6, 300 * s},
		"bounded at once":    {dag.RetryPolicy{Duration: 10 * s, MaxDuration: s, Factor: 2}, 1, s},
		"constant":           {dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 1}, math.MaxInt, 10 * s},
		"no factor":          {dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s}, 3, 10 * s},
		"before the first":   {dag.RetryPolicy{Duration: 10 * s, MaxDuration: 300 * s, Factor: 2}, math.MinInt, 10 * s},
		"no delay":           {dag.RetryPolicy{MaxDuration: 300 * s, Factor: 2}, math.MaxInt, 0},
		"negative":           {dag.RetryPolicy{Duration: -s, MaxDuration: 300 * s, Factor: 2}, 2, 0},
		"no bound left":      {dag.RetryPolicy{Duration: s, Factor: 2}, 2, 0},
		"overflow":           {dag.RetryPolicy{Duration: s, MaxDuration: math.MaxInt64, Factor: 100}, math.MaxInt, math.MaxInt64},
		"overflow at once":   {dag.RetryPolicy{Duration: math.MaxInt64, MaxDuration: math.MaxInt64, Factor: 2}, 2, math.MaxInt64},
		"a factor too large": {dag.RetryPolicy{Duration: s, MaxDuration: 300 * s, Factor: math.MaxInt}, 2, 300 * s},
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
		"unconditional":                     {dag.RetryPolicy{}, ptr[int32](3), true},
		"unconditional, without a code":     {dag.RetryPolicy{}, nil, true},
		"codes without enabled":             {dag.RetryPolicy{Codes: []int64{1}}, ptr[int32](3), true},
		"one of the codes":                  {codes, ptr[int32](137), true},
		"another code":                      {codes, ptr[int32](2), false},
		"conditional, without a code":       {codes, nil, false},
		"codes that no container ends with": {dag.RetryPolicy{Conditional: true, Codes: []int64{-1, 256, 1 << 32}}, ptr[int32](0), false},
		"conditional, without any codes":    {dag.RetryPolicy{Conditional: true}, ptr[int32](1), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.Retries(c.code); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
