package main

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
)

// The measures of a plot, in pixels.
const (
	plotWidth, plotHeight = 640, 320
	plotLeft, plotRight   = 70, 30
	plotTop, plotBottom   = 50, 50
)

// plot draws a curve as SVG: the cost from 0 on, over the logarithm of what was
// varied, so that a cost that does not depend on it is a level line.
func plot(title string, points []point) []byte {
	top := niceTop(slices.MaxFunc(points, func(a, b point) int { return cmp.Compare(a.cost, b.cost) }).cost)
	first, last := float64(points[0].n), float64(points[len(points)-1].n)
	x := func(n int) float64 {
		return plotLeft + math.Log(float64(n)/first)/math.Log(last/first)*(plotWidth-plotLeft-plotRight)
	}
	y := func(cost float64) float64 {
		return plotHeight - plotBottom - cost/top*(plotHeight-plotTop-plotBottom)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#333">`+"\n", plotWidth, plotHeight)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	text(&b, plotLeft, 20, "start", 15, title)
	text(&b, plotLeft, 38, "start", 12, "CPU seconds of the gateway for 10,000 events")
	const lines = 4
	for i := range lines + 1 {
		cost := top * float64(i) / lines
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%[2]g" stroke="#ddd"/>`+"\n", plotLeft, y(cost), plotWidth-plotRight)
		text(&b, plotLeft-8, y(cost)+4, "end", 12, fmt.Sprintf("%.2f", cost))
	}
	b.WriteString(`<polyline fill="none" stroke="#06c" stroke-width="2" points="`)
	for _, p := range points {
		fmt.Fprintf(&b, "%.1f,%.1f ", x(p.n), y(p.cost))
	}
	b.WriteString(`"/>` + "\n")
	for _, p := range points {
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="#06c"/>`+"\n", x(p.n), y(p.cost))
		text(&b, x(p.n), y(p.cost)-10, "middle", 12, fmt.Sprintf("%.2f", p.cost))
		text(&b, x(p.n), plotHeight-plotBottom+20, "middle", 12, thousands(p.n))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func text(b *bytes.Buffer, x, y float64, anchor string, size int, words string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>`+"\n", x, y, anchor, size, html.EscapeString(words))
}

// niceTop is a round number that leaves room above a cost.
func niceTop(cost float64) float64 {
	if cost <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(cost)))
	for _, factor := range []float64{1.2, 2, 4, 8} {
		if factor*unit > 1.15*cost {
			return factor * unit
		}
	}
	return 12 * unit
}
