package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"haf/hub"
)

// progress shows long work on standard error: a bar on a terminal, elsewhere a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	bar      *progressbar.ProgressBar

	what        string
	bytes       bool // parts are bytes
	total       int
	began, last time.Time
	start       int // steps that were done when the phase began
	started     bool
}

// lineEvery is the time between two lines where there is no terminal.
const lineEvery = 10 * time.Second

// barWidth is the number of columns of the bar itself.
const barWidth = 12

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Logf prints a line.
func (p *progress) Logf(format string, args ...any) {
	if p.bar != nil {
		// the bar is drawn again below the line; a terminal that refuses is no reason to stop
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

// StartPhase begins a phase of total steps.
func (p *progress) StartPhase(name string, total int) { p.begin(name, total, false) }

// StartBytesPhase begins a phase whose steps are bytes.
func (p *progress) StartBytesPhase(name string, total int) { p.begin(name, total, true) }

func (p *progress) begin(what string, total int, bytes bool) {
	p.what, p.total, p.bytes, p.began, p.last, p.started = what, total, bytes, time.Now(), time.Now(), false
	if !p.terminal {
		return
	}
	options := []progressbar.Option{
		progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(barWidth), progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100 * time.Millisecond),
	}
	if bytes {
		if total == 0 {
			total = -1 // not known
		}
		options = append(options, progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true))
	} else {
		options = append(options, progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("it"))
	}
	p.bar = progressbar.NewOptions(total, options...)
}

// Update reports how much of the phase is done.
func (p *progress) Update(done int, detail string) {
	if !p.started {
		p.started, p.start = true, done
	}
	if p.bar != nil {
		if detail != "" {
			p.bar.Describe(p.fit(p.what + ": " + detail))
		}
		_ = p.bar.Set(done) // beyond the total is no reason to stop
		return
	}
	now := time.Now()
	if now.Sub(p.last) < lineEvery && done < p.total || done <= p.start {
		return
	}
	p.last = now
	line := fmt.Sprintf("%s %d/%d", p.what, done, p.total)
	perSecond := float64(done-p.start) / now.Sub(p.began).Seconds()
	if p.bytes {
		line = fmt.Sprintf("%s %s/%s, %s/s", p.what, hub.Bytes(int64(done)), hub.Bytes(int64(p.total)), hub.Bytes(int64(perSecond)))
	}
	if detail != "" {
		line += ": " + detail
	}
	if left := p.total - done; left > 0 {
		line += fmt.Sprintf(", %s left", time.Duration(float64(left)/perSecond*float64(time.Second)).Round(time.Second))
	}
	fmt.Fprintln(p.w, line)
}

// fit shortens a description so that the bar behind it, with count, rate and time left, stays on
// one line: a longer one leaves a torn line behind at every redraw.
func (p *progress) fit(description string) string {
	width := 80
	if f, ok := p.w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	behind := fmt.Sprintf(" 100%% ||  (%d/%d, 99 it/min) [9h59m59s:9h59m59s] ", p.total, p.total)
	room := max(width-len(behind)-barWidth/2, len(p.what)) // a narrow terminal has half a bar
	if utf8.RuneCountInString(description) <= room {
		return description
	}
	cut := string([]rune(description)[:room])
	if i := strings.LastIndexAny(cut, ":,("); i > 0 {
		cut = cut[:i] // whole facts
	}
	return strings.TrimRight(cut, " ")
}

// EndPhase ends the phase.
func (p *progress) EndPhase() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
