package source

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mattn/go-shellwords"

	"haf/pref"
)

// A command computes rewards over its standard streams: it reads one JSON object per line and
// writes one number per line, in the same order. It runs until the source is closed, and is
// restarted if it ends earlier.
type command struct {
	words   []string
	timeout time.Duration // for one line
	log     func(format string, args ...any)
	turn    chan struct{} // holds one value; its taker talks to the process
	process *process      // nil before the first use and after a failure
}

// defaultTimeout is the longest wait for an answer.
const defaultTimeout = 2 * time.Minute

// commandWords splits a command into words like a shell, with quotes and backslashes, but expands
// nothing.
func commandWords(text string) ([]string, error) {
	parser := shellwords.NewParser()
	words, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the command cannot be split into words: %w: put quotes around text "+
			"that has quotes, parentheses or backslashes", err)
	}
	if parser.Position >= 0 {
		return nil, fmt.Errorf("the command has a ; & | < or > that only a shell understands: put " +
			"quotes around it, or write exec:sh -c '…'")
	}
	if len(words) == 0 {
		return nil, errors.New("the name has no command, want exec:COMMAND")
	}
	return words, nil
}

func checkCommand(text string) error {
	_, err := commandWords(text)
	return err
}

func reachCommand(_ context.Context, s Source, _ Options) error {
	words, err := commandWords(s.Address)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	return nil
}

// openCommand checks that the command exists. The first use starts it.
func openCommand(ctx context.Context, s Source, opt Options) (pref.Rewarder, error) {
	if err := reachCommand(ctx, s, opt); err != nil {
		return nil, err
	}
	words, err := commandWords(s.Address)
	if err != nil {
		return nil, err
	}
	c := &command{words: words, timeout: opt.Timeout, log: opt.Log, turn: make(chan struct{}, 1)}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.log == nil {
		c.log = func(string, ...any) {}
	}
	c.turn <- struct{}{}
	return &single{served: s.Name, score: c.score, close: c.close, progress: opt.Progress}, nil
}

// errEnded is wrapped by errors after which the command is restarted: it crashed, ended, or did not
// answer in time.
var errEnded = errors.New("the command gave no reward")

// score requests the rewards of items. If the command ends, a new one gets the items that are not
// yet answered. A second end at the same item is an error.
func (c *command) score(ctx context.Context, items []item, done func(int)) ([]float64, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := make([]float64, 0, len(items))
	for failedAt := -1; len(out) < len(items); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if c.process == nil {
			var err error
			if c.process, err = start(c.words, c.log); err != nil {
				return nil, err
			}
		}
		rewards, err := c.process.ask(ctx, items[len(out):], c.timeout, func(n int) {
			done(len(out) + n)
		})
		out = append(out, rewards...)
		if err == nil {
			break
		}
		c.process.kill()
		err = c.process.explain(err)
		c.process = nil
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, errEnded) || failedAt == len(out) {
			return nil, fmt.Errorf("response %d of %d: %w", len(out)+1, len(items), err)
		}
		failedAt = len(out)
		c.log("haf: the reward command is started again at response %d of %d: %v", len(out)+1,
			len(items), err)
	}
	return out, nil
}

// close ends the command. It returns an error if the command then fails, or if it wrote more lines
// than it read.
func (c *command) close() error {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if c.process == nil {
		return nil
	}
	p := c.process
	c.process = nil
	return p.end(c.timeout)
}

// A process is a running command.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // of standard output; closed after the process has ended
	ended  error       // reason of the end, set before lines is closed
	stderr *tail
	quit   chan struct{} // closed by kill
	// settled is set once a first line got exactly one line as answer.
	settled bool
}

// longestLine limits a line written by a command, in bytes.
const longestLine = 64 << 10

// start runs a command in its own process group.
func start(words []string, log func(string, ...any)) (*process, error) {
	p := &process{lines: make(chan string), quit: make(chan struct{}), stderr: &tail{log: log}}
	p.cmd = exec.Command(words[0], words[1:]...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = 2 * time.Second // children may keep standard error open
	// Python buffers its output to a pipe, so both sides would wait forever.
	p.cmd.Env = append([]string{"PYTHONUNBUFFERED=1"}, os.Environ()...)
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the command: %w", err)
	}
	go p.read(stdout)
	return p, nil
}

// read passes on the lines of standard output, and waits for the process to end.
func (p *process) read(stdout io.Reader) {
	defer close(p.lines)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		select {
		case p.lines <- lines.Text():
		case <-p.quit:
		}
	}
	err := lines.Err()
	if err != nil {
		p.signal()
	}
	waited := p.cmd.Wait()
	switch {
	case err != nil:
		p.ended = fmt.Errorf("reading its standard output: %w", err)
	case waited != nil:
		p.ended = waited
	default:
		p.ended = errors.New("it ended with exit status 0")
	}
}

// signal kills the process and its children.
func (p *process) signal() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may be gone
}

// kill ends the process at once and waits for its end.
func (p *process) kill() {
	select {
	case <-p.quit:
	default:
		close(p.quit)
	}
	p.signal()
	for range p.lines {
	}
}

// explain adds the last lines of standard error. Call it after the process has ended.
func (p *process) explain(err error) error {
	if said := p.stderr.last(); said != "" {
		return fmt.Errorf("%w; it wrote: %s", err, said)
	}
	return err
}

// settling is how long haf waits for a new process to write unrequested lines, such as a banner,
// which would shift all rewards by a response.
var settling = 100 * time.Millisecond

// ask writes items as lines and reads a reward for each. It also returns the rewards before an
// error. It sends the first item of a process alone.
func (p *process) ask(
	ctx context.Context, items []item, timeout time.Duration, done func(n int),
) ([]float64, error) {
	if err := p.silent(nil); err != nil {
		return nil, err
	}
	if p.settled {
		return p.exchange(ctx, items, timeout, done)
	}
	first, err := p.exchange(ctx, items[:1], timeout, done)
	if err != nil {
		return first, err
	}
	if err := p.silent(time.After(settling)); err != nil && !errors.Is(err, errEnded) {
		return nil, err
	} else if err != nil {
		return first, err
	}
	p.settled = true
	rest, err := p.exchange(ctx, items[1:], timeout, func(n int) { done(1 + n) })
	return append(first, rest...), err
}

// silent waits for done, or not at all if it is nil. It returns an error if the process writes or
// ends meanwhile.
func (p *process) silent(done <-chan time.Time) error {
	unasked := func(line string, ok bool) error {
		if ok {
			return fmt.Errorf("the command wrote %q, a line more than it read: its rewards may "+
				"belong to other responses; messages belong on standard error", short(line))
		}
		return fmt.Errorf("%w: %w", errEnded, p.ended)
	}
	if done == nil {
		select {
		case line, ok := <-p.lines:
			return unasked(line, ok)
		default:
			return nil
		}
	}
	select {
	case line, ok := <-p.lines:
		return unasked(line, ok)
	case <-done:
		return nil
	}
}

// exchange is ask without its checks. It writes an item once the previous one is answered: if a
// command skips a line, haf times out instead of giving its next number to another response.
func (p *process) exchange(
	ctx context.Context, items []item, timeout time.Duration, done func(n int),
) ([]float64, error) {
	out := make([]float64, 0, len(items))
	for i, it := range items {
		if i > 0 {
			if err := p.silent(nil); err != nil {
				return out, err
			}
		}
		x, err := p.answer(ctx, it, timeout)
		if err != nil {
			return out, err
		}
		out = append(out, x)
		done(len(out))
	}
	return out, nil
}

// answer writes an item and reads its reward.
func (p *process) answer(ctx context.Context, it item, timeout time.Duration) (float64, error) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = p.write(it) // the reading side reports an ended process
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var x float64
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-timer.C:
		return 0, late(timeout)
	case line, ok := <-p.lines:
		if !ok {
			return 0, fmt.Errorf("%w: %w", errEnded, p.ended)
		}
		var err error
		if x, err = number(line); err != nil {
			return 0, err
		}
	}
	select { // a long line blocks until the process reads it
	case <-written:
		return x, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-timer.C:
		return 0, fmt.Errorf("the command wrote %g before it read its line", x)
	}
}

func late(timeout time.Duration) error {
	return fmt.Errorf("%w: no line within %s: does it write a line for each that it reads, at once "+
		"and not at the end of its input?", errEnded, timeout)
}

// write writes an item as a line.
func (p *process) write(it item) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		pref.Sample
		ID     string `json:"id,omitempty"`
		Subset string `json:"subset,omitempty"`
	}{it.Sample, it.id, it.subset})
	if err == nil {
		_, err = p.stdin.Write(line.Bytes())
	}
	return err
}

// number parses a line written by a command.
func number(line string) (float64, error) {
	x, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil || x-x != 0 {
		return 0, fmt.Errorf("the command wrote %q, want a finite number alone on its line; "+
			"messages belong on standard error", short(line))
	}
	return x, nil
}

// end closes the input of the process and waits for its end.
func (p *process) end(timeout time.Duration) error {
	_ = p.stdin.Close() // its reader may be gone
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		switch {
		case ok:
			p.kill()
			return fmt.Errorf("the command wrote %q, a line more than it read: its rewards may "+
				"belong to other responses", short(line))
		case p.cmd.ProcessState.Success():
			return nil
		}
		return p.explain(fmt.Errorf("the command failed at its end: %w", p.ended))
	case <-timer.C:
		p.kill()
		return fmt.Errorf("the command did not end within %s after its input, and was killed", timeout)
	}
}

// tail passes lines of standard error to a log and keeps the last ones.
type tail struct {
	log func(format string, args ...any)

	mu   sync.Mutex
	part string
	kept []string
}

// Write implements io.Writer.
func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.part += string(data)
	for {
		line, rest, ok := strings.Cut(t.part, "\n")
		if !ok {
			if len(t.part) > longestLine {
				t.part = t.part[len(t.part)-longestLine:]
			}
			return len(data), nil
		}
		t.part = rest
		t.log("command: %s", line)
		if t.kept = append(t.kept, line); len(t.kept) > 5 {
			t.kept = t.kept[1:]
		}
	}
}

// last returns the last lines, joined.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.Join(append(t.kept, t.part), " | "))
}
