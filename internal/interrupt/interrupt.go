// Package interrupt ends a command at SIGINT or SIGTERM within a bounded time, with nothing
// half-written.
package interrupt

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"haf/internal/durable"
)

// patience is how long a command may take to end after its context.
const patience = 3 * time.Second

// held is read-locked by work that saves before it ends.
var held sync.RWMutex

// Hold lets work that watches its context end by itself, however long saving takes. The caller
// calls release after saving. Holds must not be nested.
func Hold() (release func()) {
	held.RLock()
	return held.RUnlock
}

// Context returns the context of a command, which ends at the first SIGINT or SIGTERM. A second
// signal ends the program at once. If a command has not ended a few seconds after the first signal
// and holds nothing, the program exits with the code after removing unfinished files, so it loses
// no more than a killed one. The caller calls stop at the end of the command.
func Context(w io.Writer, code int) (ctx context.Context, stop func()) {
	ctx, ignore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ended := make(chan struct{})
	var aborted sync.Mutex // held until the program has ended
	watch := context.AfterFunc(ctx, func() {
		ignore()
		if !passed(ended) {
			return
		}
		if !held.TryLock() {
			fmt.Fprintln(w, "haf: interrupted: saving first; a second signal ends haf at once")
			held.Lock()
			if !passed(ended) { // the command reports what it saved
				return
			}
		}
		aborted.Lock()
		durable.Abandon()
		fmt.Fprintln(w, "haf: interrupted")
		os.Exit(code)
	})
	return ctx, func() {
		aborted.Lock()
		defer aborted.Unlock()
		watch()
		close(ended)
		ignore()
	}
}

// passed waits for patience, and reports whether that passed before the end.
func passed(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return false
	case <-time.After(patience):
		return true
	}
}
