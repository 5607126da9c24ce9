package answer

import "kontroler/store/view"

// Statistics counts runs by the day on which they ended.
type Statistics struct {
	Zone string `json:"zone"`
	Days []Day  `json:"days"`
	All  Ended  `json:"all"`
}

// Day counts the runs that ended on a day.
type Day struct {
	Date string `json:"date"`
	Ended
}

// Ended counts runs that have ended. SuccessRate is Succeeded / (Succeeded + Failed), null if there is none.
type Ended struct {
	Succeeded   int      `json:"succeeded"`
	Failed      int      `json:"failed"`
	Cancelled   int      `json:"cancelled"`
	SuccessRate *float64 `json:"successRate"`
}

// OfEnded returns the view of counts.
func OfEnded(e view.Ended) Ended {
	counts := Ended{Succeeded: e.Succeeded, Failed: e.Failed, Cancelled: e.Cancelled}
	if rate, ok := e.SuccessRate(); ok {
		counts.SuccessRate = &rate
	}
	return counts
}
