// Package progress shows long work on a stream such as standard error: a bar on a terminal, and
// elsewhere an occasional line. A [Printer] is a [run.Progress].
package progress

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"haf/hub"
	"haf/internal/message"
	"haf/run"
)

// A Printer shows one phase of work at a time. It is not safe for concurrent use.
type Printer struct {
	Quiet bool // print only warnings

	w        io.Writer
	memory   func() int64 // bytes of this process; 0: unknown
	terminal bool
	bar      *progressbar.ProgressBar

	phase       string
	bytes       bool // the phase counts bytes
	total       int
	began, last time.Time
	start       int // steps done before the phase began
	started     bool
}

// lineEvery is the time between two lines without a terminal.
const lineEvery = 10 * time.Second

// barWidth is the width of the bar itself, in columns.
const barWidth = 12

// New returns a Printer on w, which shows bars if w is a terminal.
func New(w io.Writer) *Printer {
	f, ok := w.(*os.File)
	return &Printer{w: w, memory: residentMemory, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Logf prints a line. A line that begins with "warning" or "haf:" is a warning. Errors and texts
// among args pass through [message.Plain].
func (p *Printer) Logf(format string, args ...any) {
	args = slices.Clone(args)
	for i, arg := range args {
		switch v := arg.(type) {
		case error:
			args[i] = message.Plain(v.Error())
		case string:
			args[i] = message.Plain(v)
		}
	}
	line := fmt.Sprintf(format, args...)
	if p.Quiet && !strings.HasPrefix(line, "warning") && !strings.HasPrefix(line, "haf:") {
		return
	}
	if p.bar != nil {
		// The bar is drawn again below the line. A terminal that fails must not stop the work.
		_ = p.bar.Clear()
	}
	fmt.Fprintln(p.w, line)
}

// StartPhase begins a phase of total steps.
func (p *Printer) StartPhase(name string, total int) { p.begin(name, total, false) }

func (p *Printer) begin(phase string, total int, bytes bool) {
	now := time.Now()
	p.phase, p.total, p.bytes = phase, total, bytes
	p.began, p.last, p.started = now, now, false
	if !p.terminal || p.Quiet {
		return
	}
	options := []progressbar.Option{
		progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(phase),
		progressbar.OptionSetWidth(barWidth), progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100 * time.Millisecond),
	}
	if bytes {
		if total == 0 {
			total = -1 // unknown
		}
		options = append(options, progressbar.OptionShowBytes(true),
			progressbar.OptionShowTotalBytes(true))
	} else {
		options = append(options, progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("it"))
	}
	p.bar = progressbar.NewOptions(total, options...)
}

// Update reports how much of the phase is done.
func (p *Printer) Update(done int, detail string) {
	if p.Quiet {
		return
	}
	if !p.started {
		p.started, p.start = true, done
	}
	if p.bar != nil {
		if detail != "" {
			p.bar.Describe(p.fit(p.phase + ": " + p.withMemory(detail)))
		}
		_ = p.bar.Set(done) // exceeding the total must not stop the work
		return
	}
	now := time.Now()
	if now.Sub(p.last) < lineEvery && done < p.total || done <= p.start {
		return
	}
	p.last = now
	fmt.Fprintln(p.w, p.line(done, detail, now))
}

// line describes the progress, the rate, and the remaining time.
func (p *Printer) line(done int, detail string, now time.Time) string {
	line := fmt.Sprintf("%s %d/%d", p.phase, done, p.total)
	perSecond := float64(done-p.start) / now.Sub(p.began).Seconds()
	if p.bytes {
		line = fmt.Sprintf("%s %s/%s, %s/s", p.phase, hub.Bytes(int64(done)),
			hub.Bytes(int64(p.total)), hub.Bytes(int64(perSecond)))
	}
	if detail != "" {
		line += ": " + p.withMemory(detail)
	}
	if left := p.total - done; left > 0 {
		rest := time.Duration(float64(left) / perSecond * float64(time.Second))
		line += fmt.Sprintf(", %s left", rest.Round(time.Second))
	}
	return line
}

// withMemory adds this process's memory, without a GPU's, to the description of a phase.
func (p *Printer) withMemory(detail string) string {
	if bytes := p.memory(); bytes > 0 {
		return detail + ", " + hub.Bytes(bytes)
	}
	return detail
}

// residentMemory is the memory of this process in bytes, or 0 if the system does not report it.
func residentMemory() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// fit shortens a description so that the whole bar, with count, rate and remaining time, fits on
// one line. A longer line would leave a remnant at every redraw.
func (p *Printer) fit(description string) string {
	width := 80
	if f, ok := p.w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	behind := fmt.Sprintf(" 100%% ||  (%d/%d, 99 it/min) [9h59m59s:9h59m59s] ", p.total, p.total)
	// On a narrow terminal the bar is half as long.
	columns := max(width-len(behind)-barWidth/2, len(p.phase))
	if utf8.RuneCountInString(description) <= columns {
		return description
	}
	cut := string([]rune(description)[:columns])
	if i := strings.LastIndexAny(cut, ":,("); i > 0 {
		cut = cut[:i] // cut between facts
	}
	return strings.TrimRight(cut, " ")
}

// EndPhase ends the phase.
func (p *Printer) EndPhase() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}

// Passes returns a function that shows passes over data: see [run.Passes].
func (p *Printer) Passes() func(pass string, done, total int) { return run.Passes(p) }

// Fetches shows the client's downloads and notes on w; if quiet, only the notes.
func Fetches(client *hub.Client, w io.Writer, quiet bool) {
	var mu sync.Mutex // files are fetched concurrently
	p := New(w)
	p.Quiet = quiet
	running := ""
	client.Say = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		p.Logf("haf: "+format, args...)
	}
	client.Progress = func(what string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if what != running {
			p.EndPhase() // a phase that ended with an error
			p.begin("fetching "+what, int(total), true)
			running = what
		}
		p.Update(int(done), "")
		if done == total {
			p.EndPhase()
			running = ""
		}
	}
}

// Terminal reports whether output on w may have colours, and its width in columns. With NO_COLOR, a
// TERM of "dumb", or no terminal, there are no colours.
func Terminal(w io.Writer) (colour bool, width int) {
	width, _ = strconv.Atoi(os.Getenv("COLUMNS"))
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, width
	}
	if columns, _, err := term.GetSize(int(f.Fd())); err == nil && width == 0 {
		width = columns
	}
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", width
}
