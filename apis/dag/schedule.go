package dag

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // images without a time zone database need a copy

	"github.com/robfig/cron/v3"

	"kontroler/apis/kontroler/v1alpha1"
)

// starBit marks a field that was written "*" or "?" in robfig/cron.
const starBit = 1 << 63

// errUnknownZone is the error for a time zone that is unknown or differs between machines.
var errUnknownZone = errors.New("is not a name of the IANA time zone database")

// zonePart is a component of a zone's name that CronJob accepts.
var zonePart = regexp.MustCompile(`^[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}$`)

// neverDue is a schedule that no date matches, such as "0 0 31 2 *".
type neverDue struct{}

// Next returns the zero time.
func (neverDue) Next(time.Time) time.Time { return time.Time{} }

// IsNeverDue reports whether a schedule that ParseSchedule returned is valid and never due.
func IsNeverDue(schedule cron.Schedule) bool { return schedule == neverDue{} }

// SplitSchedule returns the schedule of a spec without a zone prefix (TZ=, CRON_TZ=), and the zone from the prefix or
// from timeZone. The zone is empty if neither is set.
func SplitSchedule(spec *v1alpha1.DAGSpec) (expression, zone string) {
	prefix, zone, expression := splitZone(spec.Schedule)
	if prefix == "" && spec.TimeZone != nil {
		zone = *spec.TimeZone
	}
	return expression, zone
}

// splitZone splits a schedule into the prefix of a zone, the zone, and the expression. Without a prefix the whole
// schedule is the expression.
func splitZone(schedule string) (prefix, zone, expression string) {
	for _, prefix := range []string{"TZ=", "CRON_TZ="} {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(schedule), prefix); ok {
			zone, expression, _ := strings.Cut(rest, " ")
			return prefix, zone, strings.TrimSpace(expression)
		}
	}
	return "", "", schedule
}

// ParseSchedule parses a schedule as CronJob does: five fields, @hourly and the like, or "@every 90m". If timeZone is
// nil, the zone is UTC. Unlike CronJob it accepts a zone prefix (TZ=, CRON_TZ=) that does not contradict timeZone,
// and rejects an @every below one second.
//
// The Next method of the schedule computes in the returned location, regardless of the location of its argument.
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

// otherZone is the error for a zone prefix that contradicts timeZone.
func otherZone(prefix, timeZone string) error {
	return fmt.Errorf("%s names a different zone than timeZone %q: remove one of them", prefix, cut(timeZone))
}

// parseZone returns the location with a name, or UTC. As in CronJob, the name must be in the time zone database:
// "Local" would mean a different zone on each machine.
func parseZone(timeZone *string) (*time.Location, error) {
	if timeZone == nil {
		return time.UTC, nil
	}
	name := *timeZone
	if name == "" {
		return nil, errors.New("must not be empty: remove it for UTC")
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

// parseCron parses a schedule without a zone. It turns panics of the parser into errors, because some versions of it
// index past the end of their input.
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
		return nil, errors.New("must have at most one zone, at its beginning: TZ=Europe/Berlin 0 9 * * *")
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

// everDue reports whether any time matches the schedule. It checks the sets of the fields, because Next would search
// five years of minutes if a set is empty.
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
