package dag

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // a valid zone is known also in an image without a time zone database

	"github.com/robfig/cron/v3"

	"kontroler/apis/kontroler/v1alpha1"
)

// starBit is how robfig/cron marks a field that was written "*" or "?".
const starBit = 1 << 63

// errUnknownZone is the error for a time zone that every machine would understand differently, or not at all.
var errUnknownZone = errors.New("is not a name of the IANA time zone database")

// zonePart is what CronJob lets a component of a zone's name be.
var zonePart = regexp.MustCompile(`^[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}$`)

// neverDue is a schedule like "0 0 31 2 *", which no day of the calendar matches.
type neverDue struct{}

// Next is the zero time.
func (neverDue) Next(time.Time) time.Time { return time.Time{} }

// IsNeverDue reports whether a schedule that ParseSchedule returned is valid and never due.
func IsNeverDue(schedule cron.Schedule) bool { return schedule == neverDue{} }

// SplitSchedule returns the schedule of a spec without a zone before it (TZ=, CRON_TZ=), and the zone: that one, or
// timeZone; empty: none.
func SplitSchedule(spec *v1alpha1.DAGSpec) (expression, zone string) {
	prefix, zone, expression := splitZone(spec.Schedule)
	if prefix == "" && spec.TimeZone != nil {
		zone = *spec.TimeZone
	}
	return expression, zone
}

// splitZone splits a schedule into the prefix that announces a zone, the zone, and the expression. Without a prefix all of
// it is the expression.
func splitZone(schedule string) (prefix, zone, expression string) {
	for _, prefix := range []string{"TZ=", "CRON_TZ="} {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(schedule), prefix); ok {
			zone, expression, _ := strings.Cut(rest, " ")
			return prefix, zone, strings.TrimSpace(expression)
		}
	}
	return "", "", schedule
}

// ParseSchedule parses a schedule as Kubernetes' CronJob does: five fields, @hourly and the like, "@every 90m"; timeZone
// nil: UTC. Beyond CronJob it takes a zone before the schedule (TZ=, CRON_TZ=), provided that timeZone is not another one,
// and it refuses an @every below one second.
//
// The schedule's Next computes in the returned location, whatever the location of the time that it is given.
func ParseSchedule(schedule string, timeZone *string) (cron.Schedule, *time.Location, error) {
	prefix, zone, expression := splitZone(schedule)
	switch {
	case prefix == "":
	case timeZone != nil && *timeZone != zone:
		return nil, nil, fmt.Errorf("schedule %q: %w", cut(schedule), otherZone(prefix, *timeZone))
	case zone != "":
		timeZone = &zone
	}
	location, err := parseZone(timeZone)
	if err != nil {
		return nil, nil, fmt.Errorf("time zone %q: %w", cut(*timeZone), err)
	}
	parsed, err := parseCron(expression)
	if err != nil {
		return nil, nil, fmt.Errorf("schedule %q: %w", cut(schedule), err)
	}
	if spec, ok := parsed.(*cron.SpecSchedule); ok {
		spec.Location = location
	}
	return parsed, location, nil
}

// otherZone is the error for a zone before a schedule that is not its timeZone.
func otherZone(prefix, timeZone string) error {
	return fmt.Errorf("%s names another zone than timeZone, %q: leave it out", prefix, cut(timeZone))
}

// parseZone returns the location of that name, or UTC. As in CronJob, the name must be one of the time zone database:
// "Local" would mean something else on each machine.
func parseZone(timeZone *string) (*time.Location, error) {
	if timeZone == nil {
		return time.UTC, nil
	}
	name := *timeZone
	if name == "" {
		return nil, errors.New("must not be empty: leave it out for UTC")
	}
	if strings.EqualFold(name, "Local") {
		return nil, errUnknownZone
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." || !zonePart.MatchString(part) {
			return nil, errUnknownZone
		}
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, errUnknownZone
	}
	return location, nil
}

// parseCron parses a schedule without a zone, and turns a panic of the parser into an error: some of its versions
// index past the end of what they are given.
func parseCron(schedule string) (parsed cron.Schedule, err error) {
	defer func() {
		if recover() != nil {
			parsed, err = nil, errors.New("is not a cron schedule")
		}
	}()
	switch {
	case len(schedule) > maxScheduleBytes:
		return nil, fmt.Errorf("must not be longer than %d bytes", maxScheduleBytes)
	case strings.Contains(schedule, "TZ"):
		return nil, errors.New("must have one zone at most, before all else: TZ=Europe/Berlin 0 9 * * *")
	}
	if every, ok := strings.CutPrefix(schedule, "@every "); ok {
		if d, err := time.ParseDuration(every); err == nil && d < time.Second {
			return nil, errors.New("@every needs at least 1s")
		}
	}
	if parsed, err = cron.ParseStandard(schedule); err != nil {
		return nil, fmt.Errorf("is not a cron schedule: %w", err)
	}
	if spec, ok := parsed.(*cron.SpecSchedule); ok && !everDue(spec) {
		return neverDue{}, nil
	}
	return parsed, nil
}

// everDue reports whether any time matches the schedule. It looks at the sets of the fields: asking Next would walk
// through five years of minutes where a set is empty.
func everDue(s *cron.SpecSchedule) bool {
	if s.Second&^starBit == 0 || s.Minute&^starBit == 0 || s.Hour&^starBit == 0 {
		return false
	}
	weekday := s.Month&^starBit != 0 && s.Dow&^starBit != 0 // every month has every day of the week
	date := false
	for month, days := range [...]uint{1: 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31} {
		if days > 0 && s.Month&(1<<month) != 0 && s.Dom&(1<<(days+1)-2) != 0 {
			date = true
		}
	}
	if s.Dom&starBit != 0 || s.Dow&starBit != 0 {
		return weekday && date
	}
	return weekday || date
}
