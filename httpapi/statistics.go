package httpapi

import (
	"net/http"
	"net/url"
	"time"
	_ "time/tzdata" // images have no time zones

	"kontroler/httpapi/answer"
	"kontroler/store/view"
)

// statisticsHandlers count runs that have ended.
type statisticsHandlers struct{ *base }

// The days of statistics.
const (
	defaultDays = 30
	maxDays     = 366
)

// period are the days of statistics in a zone.
type period struct {
	zone        *time.Location
	first, last view.Date
	// from and before enclose the days in any zone.
	from, before time.Time
}

// parsePeriod reads the parameters zone, from and to.
func parsePeriod(values url.Values, now time.Time) (p period, err error) {
	p.zone, err = time.LoadLocation(values.Get("zone"))
	if err != nil || values.Get("zone") == "Local" {
		return p, fault(badRequest, "zone must be the name of a time zone such as Europe/Berlin.")
	}
	to, err := dateOf(values, "to", now.In(p.zone))
	if err != nil {
		return p, err
	}
	from, err := dateOf(values, "from", to.AddDate(0, 0, 1-defaultDays))
	if err != nil {
		return p, err
	}
	if to.Before(from) || !from.AddDate(0, 0, maxDays).After(to) {
		return p, fault(badRequest, "from must be before to, and at most 366 days.")
	}
	p.first, p.last = view.DateOf(from, time.UTC), view.DateOf(to, time.UTC)
	// No offset of a zone is longer than a day.
	p.from, p.before = from.AddDate(0, 0, -1), to.AddDate(0, 0, 2)
	return p, nil
}

// dateOf returns midnight in UTC of the day of a parameter. If the parameter is missing, it returns that of otherwise.
func dateOf(values url.Values, name string, otherwise time.Time) (time.Time, error) {
	text := values.Get(name)
	if text == "" {
		year, month, day := otherwise.Date()
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC), nil
	}
	date, err := time.Parse(time.DateOnly, text)
	if err != nil || date.Year() < 1970 || date.Year() > 9000 {
		return time.Time{}, fault(badRequest, name+" must be a day such as 2026-07-01.")
	}
	return date, nil
}

// all counts the runs of all DAGs that the caller may see, or of a namespace.
func (h statisticsHandlers) all(w http.ResponseWriter, c *call) error {
	return h.count(w, c, func(p period) ([]view.Quarter, error) {
		scope, err := scopeOfPath(c)
		if err != nil {
			return nil, err
		}
		return h.quarters.Read(scope, p.from, p.before)
	})
}

// ofDAG counts the runs of a DAG.
func (h statisticsHandlers) ofDAG(w http.ResponseWriter, c *call) error {
	return h.count(w, c, func(p period) ([]view.Quarter, error) {
		dag, err := h.findDAG(c)
		if err != nil {
			return nil, err
		}
		return h.views.QuartersOfDAG(c.Context(), dag.ID, p.from, p.before)
	})
}

func (h statisticsHandlers) count(w http.ResponseWriter, c *call, read func(period) ([]view.Quarter, error)) error {
	values, err := query(c, "zone", "from", "to")
	if err != nil {
		return err
	}
	p, err := parsePeriod(values, h.now())
	if err != nil {
		return err
	}
	quarters, err := read(p)
	if err != nil {
		return err
	}
	shown := answer.Statistics{Zone: p.zone.String(), Days: []answer.Day{}}
	var all view.Ended
	for _, day := range view.ByDay(quarters, p.zone, p.first, p.last) {
		date := time.Date(day.Date.Year, day.Date.Month, day.Date.Day, 0, 0, 0, 0, time.UTC)
		shown.Days = append(shown.Days, answer.Day{
			Date: date.Format(time.DateOnly), Ended: answer.OfEnded(day.Ended),
		})
		all.Succeeded += day.Succeeded
		all.Failed += day.Failed
		all.Cancelled += day.Cancelled
	}
	shown.All = answer.OfEnded(all)
	return reply(w, http.StatusOK, shown)
}
