package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"keyframe/bench/load"
)

// progress is a line on a terminal: how far, how fast, the latest p99. It never takes more
// than one row: a line that wraps can't be drawn over, and scrolls.
type progress struct {
	bar *progressbar.ProgressBar
	w   io.Writer
	// columns is the width of the terminal, which its user may change meanwhile.
	columns func() int
}

const (
	widestBar = 30
	// aroundBar is what the library puts around bar and description, and three columns to
	// spare: two for the ^C that the terminal echoes there, and in the last one some
	// terminals wrap at once.
	aroundBar = len(" 100% ||   ") + 3
)

// newProgress returns nil when there is no terminal to draw on.
func newProgress(w io.Writer, quiet bool) *progress {
	f, ok := w.(*os.File)
	if quiet || !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	p := &progress{
		w: w,
		bar: progressbar.NewOptions(100,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionUseANSICodes(true), // clears the line, whatever its width was
			progressbar.OptionClearOnFinish()),
		columns: func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80
			}
			return width
		},
	}
	_ = p.draw(0, "connecting, filling, warming up")
	return p
}

func (p *progress) add(i load.Interval) error {
	p99 := time.Duration(i.Latency.ValueAtPercentile(99)).Round(time.Microsecond)
	return p.draw(i.Part, fmt.Sprintf("%s keys/s, p99 %s", humanize.SIWithDigits(i.Rate(), 2, ""), p99))
}

// draw fits the line to the terminal: first the bar gives way, then the text.
func (p *progress) draw(part float64, description string) error {
	_ = p.bar.Clear()
	room := p.columns() - aroundBar
	if room < 0 {
		return nil
	}
	text := []rune(description)
	text = text[:min(len(text), room)]
	progressbar.OptionSetWidth(min(widestBar, room-len(text)))(p.bar)
	progressbar.OptionSetDescription(string(text))(p.bar)
	if err := p.bar.Set(int(part * 100)); err != nil { // the bar's part of its new width
		return err
	}
	p.bar.Describe(string(text)) // draws, if that has not
	return nil
}

// finish takes the line away, and the ^C on it, also where it was too narrow for a bar: what
// is written next begins on a row of its own.
func (p *progress) finish() {
	_ = p.bar.Exit()
	_, _ = io.WriteString(p.w, "\x1b[2K\r")
}
