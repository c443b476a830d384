package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"left4me/shared/server"
	"left4me/templates/page"
)

// chart is the number of players over the last day.
type chart struct {
	// known is whether anything is known about that time.
	known bool
	// most is the highest number of players, first reached at mostAt, and of how long players were there and the server answered.
	most              int
	mostAt            time.Time
	played, answering time.Duration
	// parts are hours of the day, the last one first. Hours with the same number are one part.
	parts []part
	// curve and area are paths in the viewBox: a step line, and what is below it.
	curve, area string
}

// part is one or several hours of a chart.
type part struct {
	from time.Time
	// hours is how many, and most the highest number of players, -1 if the server did not answer at all.
	hours, most int
}

const (
	chartTime = 24 * time.Hour
	// chartStep is the time of one unit of the chart's width: of several changes within it, the highest number is shown.
	chartStep  = 5 * time.Minute
	chartWidth = int(chartTime / chartStep)
	// chartTop is how many players the chart has room for at least.
	chartTop = 8
)

// chartOf returns the chart of the day before now.
func chartOf(all []server.Population, now time.Time) chart {
	start := now.Add(-chartTime)
	var c chart
	var most [chartWidth]int // -1: the server did not answer
	for n := range most {
		most[n] = -1
	}
	for n, p := range all {
		until := now
		if n+1 < len(all) {
			until = all[n+1].At
		}
		from := p.At
		if from.Before(start) {
			from = start
		}
		if !p.Known || !from.Before(until) {
			continue
		}
		c.known = true
		c.answering += until.Sub(from)
		humans := p.Humans
		if humans > 0 {
			c.played += until.Sub(from)
		}
		if humans > c.most {
			c.most, c.mostAt = humans, from
		}
		for x := int(from.Sub(start) / chartStep); x < chartWidth && start.Add(time.Duration(x)*chartStep).Before(until); x++ {
			most[x] = max(most[x], humans)
		}
	}
	for n := 23; n >= 0; n-- {
		p := part{start.Add(time.Duration(n) * time.Hour), 1, slices.Max(most[n*chartWidth/24 : (n+1)*chartWidth/24])}
		if last := len(c.parts) - 1; last >= 0 && c.parts[last].most == p.most {
			p.hours += c.parts[last].hours
			c.parts = c.parts[:last]
		}
		c.parts = append(c.parts, p)
	}
	c.draw(most[:])
	return c
}

// draw sets the paths.
func (c *chart) draw(most []int) {
	var curve, area strings.Builder
	for x := 0; x < len(most); x++ {
		if most[x] < 0 {
			continue
		}
		first := x == 0 || most[x-1] < 0
		if first {
			fmt.Fprintf(&curve, "M%d %d", x, c.y(most[x]))
			fmt.Fprintf(&area, "M%d %dV%d", x, c.top(), c.y(most[x]))
		} else if most[x] != most[x-1] {
			step := fmt.Sprintf("H%dV%d", x, c.y(most[x]))
			curve.WriteString(step)
			area.WriteString(step)
		}
		if x+1 == len(most) || most[x+1] < 0 {
			fmt.Fprintf(&curve, "H%d", x+1)
			fmt.Fprintf(&area, "H%dV%dZ", x+1, c.top())
		}
	}
	c.curve, c.area = curve.String(), area.String()
}

func (c *chart) top() int         { return max(c.most, chartTop) }
func (c *chart) y(humans int) int { return c.top() - humans }

func (c *chart) viewBox() string {
	// The line is not cut at the edges.
	return fmt.Sprintf("0 -0.5 %d %d", chartWidth, c.top()+1)
}

// sentence says what the chart shows.
func (c *chart) sentence() string {
	if c.most == 0 {
		return "Nobody has played in the last 24 hours. The server answered for " + page.Duration(c.answering) + "."
	}
	return fmt.Sprintf("At most %s in the last 24 hours, first at %s. Somebody played for %s of the %s in which the server answered.", page.Count(c.most, "player"),
		c.mostAt.UTC().Format("15:04 UTC"), page.Duration(c.played), page.Duration(c.answering))
}

func (p part) text() string {
	length := "for " + page.Count(p.hours, "hour") + ": "
	switch p.most {
	case -1:
		return length + "no answer"
	case 0:
		return length + "nobody"
	}
	return length + "at most " + page.Count(p.most, "player")
}
