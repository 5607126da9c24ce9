package dag_test

import (
	"strings"
	"testing"
	"time"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

func TestParseSchedule(t *testing.T) {
	from := time.Date(2026, 3, 28, 12, 0, 30, 0, time.UTC)
	for name, c := range map[string]struct {
		schedule string
		zone     *string
		want     string
	}{
		"every minute":            {"* * * * *", nil, "2026-03-28T12:01:00Z"},
		"hourly":                  {"@hourly", nil, "2026-03-28T13:00:00Z"},
		"daily in a zone":         {"@daily", ptr("America/New_York"), "2026-03-29T04:00:00Z"},
		"summer time":             {"0 5 * * *", ptr("Europe/Berlin"), "2026-03-29T03:00:00Z"},
		"every":                   {"@every 90m", nil, "2026-03-28T13:30:30Z"},
		"names":                   {"0 0 * JAN mon", nil, "2027-01-04T00:00:00Z"},
		"leap day":                {"0 0 29 2 *", nil, "2028-02-29T00:00:00Z"},
		"date or weekday":         {"0 0 31 2 1", nil, "2027-02-01T00:00:00Z"},
		"a step beyond the range": {"*/4611686018427387904 * * * *", nil, "2026-03-28T13:00:00Z"},
		"a zone before it":        {"CRON_TZ=America/New_York 0 0 * * *", nil, "2026-03-29T04:00:00Z"},
		"TZ, and the same zone":   {" TZ=America/New_York @daily", ptr("America/New_York"), "2026-03-29T04:00:00Z"},
		"an empty zone before it": {"TZ= @daily", nil, "2026-03-29T00:00:00Z"},
		"whitespace":              {"  0   0 * * * ", nil, "2026-03-29T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			schedule, location, err := dag.ParseSchedule(c.schedule, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			if got := schedule.Next(from).UTC().Format(time.RFC3339); got != c.want {
				t.Errorf("next %s, want %s", got, c.want)
			}
			if got := schedule.Next(from.In(location)).UTC().Format(time.RFC3339); got != c.want {
				t.Errorf("next of the local time %s, want %s", got, c.want)
			}
		})
	}
}

func TestParseScheduleErrors(t *testing.T) {
	for name, c := range map[string]struct {
		schedule string
		zone     *string
		want     string
	}{
		"empty":              {"", nil, "empty spec"},
		"words":              {"every day", nil, "expected exactly 5 fields"},
		"six fields":         {"0 * * * * *", nil, "expected exactly 5 fields"},
		"out of range":       {"60 * * * *", nil, "above maximum"},
		"day zero":           {"0 0 0 * *", nil, "below minimum"},
		"no step":            {"*/0 * * * *", nil, "positive"},
		"a step too large":   {"*/99999999999999999999 * * * *", nil, "parse int"},
		"a zone and nothing": {"TZ=0", nil, "IANA"},
		"a zone alone":       {"CRON_TZ=UTC", nil, "empty spec"},
		"another zone": {
			"CRON_TZ=UTC 0 0 * * *", ptr("Europe/Berlin"),
			`CRON_TZ= names a different zone than timeZone "Europe/Berlin": remove one of them`,
		},
		"two zones":           {"TZ=UTC CRON_TZ=UTC 0 0 * * *", nil, "at most one zone"},
		"an unknown zone":     {"TZ=Mars/Olympus 0 0 * * *", nil, "IANA"},
		"descriptor":          {"@fortnightly", nil, "unrecognized descriptor"},
		"every nothing":       {"@every ", nil, "duration"},
		"every instant":       {"@every 10ms", nil, "at least 1s"},
		"every past":          {"@every -1h", nil, "at least 1s"},
		"too long":            {strings.Repeat("0,", 200) + "0 * * * *", nil, "longer than 256"},
		"empty zone":          {"@daily", ptr(""), "remove it"},
		"unknown zone":        {"@daily", ptr("Mars/Olympus"), "IANA"},
		"this machine's zone": {"@daily", ptr("local"), "IANA"},
		"path":                {"@daily", ptr("../UTC"), "IANA"},
		"absolute path":       {"@daily", ptr("/etc/localtime"), "IANA"},
	} {
		t.Run(name, func(t *testing.T) {
			schedule, location, err := dag.ParseSchedule(c.schedule, c.zone)
			if err == nil || schedule != nil || location != nil {
				t.Fatalf("schedule %v, location %v, error %v", schedule, location, err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want one with %q", err, c.want)
			}
		})
	}
}

// A schedule that is never due is valid, and its Next is cheap.
func TestNeverDue(t *testing.T) {
	for _, schedule := range []string{
		"0 0 31 2 *", "TZ=Europe/Berlin 0 0 31 4,6,9,11 *", ", * * * *", "0 0 * , *", "0 0 , * *",
	} {
		parsed, _, err := dag.ParseSchedule(schedule, nil)
		if err != nil || !dag.IsNeverDue(parsed) || !parsed.Next(time.Now()).IsZero() {
			t.Errorf("%q: %v, %v", schedule, parsed, err)
		}
	}
	if parsed, _, err := dag.ParseSchedule("0 0 29 2 *", nil); err != nil || dag.IsNeverDue(parsed) {
		t.Errorf("the leap day: %v, %v", parsed, err)
	}
}

func TestSplitSchedule(t *testing.T) {
	for name, c := range map[string]struct {
		schedule         string
		timeZone         *string
		expression, zone string
	}{
		"nothing":                 {"", nil, "", ""},
		"no zone":                 {"@daily", nil, "@daily", ""},
		"timeZone":                {"@daily", ptr("UTC"), "@daily", "UTC"},
		"a zone before it":        {"CRON_TZ=Europe/Berlin  0 9 * * 1-5", nil, "0 9 * * 1-5", "Europe/Berlin"},
		"both":                    {"TZ=Europe/Berlin @daily", ptr("Europe/Berlin"), "@daily", "Europe/Berlin"},
		"a zone before nothing":   {"TZ=UTC", nil, "", "UTC"},
		"an empty zone before it": {"TZ= @daily", nil, "@daily", ""},
	} {
		t.Run(name, func(t *testing.T) {
			expression, zone := dag.SplitSchedule(&v1alpha1.DAGSpec{Schedule: c.schedule, TimeZone: c.timeZone})
			if expression != c.expression || zone != c.zone {
				t.Errorf("%q in %q, want %q in %q", expression, zone, c.expression, c.zone)
			}
		})
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, seed := range []string{
		"* * * * *", "0 0 31 2 *", "0 0 29 2 *", "TZ=0", "CRON_TZ=", "@every 1h", "@every -1s", "@daily",
		"*/9223372036854775807 * * * *",
		", , , , ,", "0-59/59 ?/2 1-31 */2 sun-sat", "+5 * * * *", "0 0 , * 1", "1-/ * * * *", "/ / / / /", "- - - - -",
	} {
		f.Add(seed, "Europe/Berlin")
	}
	f.Add("@daily", "Asia/Tehran")
	f.Add("30 0 * * *", "America/Sao_Paulo")
	from := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, schedule, zone string) {
		if s, _, err := dag.ParseSchedule(schedule, nil); err == nil && !dag.IsNeverDue(s) {
			if next := s.Next(from); next.IsZero() || !next.After(from) {
				t.Fatalf("%q: next is %v", schedule, next)
			}
		}
		s, location, err := dag.ParseSchedule(schedule, &zone)
		if err != nil {
			return
		}
		for at, n := from.In(location), 0; n < 5; n++ {
			next := s.Next(at)
			if next.IsZero() {
				return // a date that summer time leaves out for years
			}
			if !next.After(at) {
				t.Fatalf("%q: %v comes after %v", schedule, next, at)
			}
			at = next
		}
	})
}
