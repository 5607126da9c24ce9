package bench_test

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The layout of a chart, in pixels.
const (
	chartWidth = 640
	chartLabel = 190 // left of the bars
	chartValue = 90  // right of the longest bar
	chartBar   = 18
	chartGap   = 26 // between two loads
)

// chart returns an SVG with a bar for each result: tasks per second, Kontroler above raw.
func chart(results []result) string {
	longest := 0.0
	for _, r := range results {
		longest = max(longest, r.TasksPerSecond)
	}
	var bars strings.Builder
	y := chartGap
	for i, r := range results {
		colour, label := "#9aa5b1", r.What
		if r.What == "kontroler" {
			colour, label = "#3465a4", fmt.Sprintf("%s, %d tasks: %s", r.Shape, r.Tasks, r.What)
		}
		width := r.TasksPerSecond / longest * (chartWidth - chartLabel - chartValue)
		fmt.Fprintf(&bars, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", chartLabel-8, y+13, escaped(label))
		fmt.Fprintf(&bars, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", chartLabel, y, width, chartBar-2,
			colour)
		fmt.Fprintf(&bars, `<text x="%.1f" y="%d">%.0f tasks/s</text>`+"\n", chartLabel+width+6, y+13, r.TasksPerSecond)
		y += chartBar
		if i%2 == 1 {
			y += chartGap - chartBar
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, chartWidth, y+8, bars.String())
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder accepts everything
	return b.String()
}
