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

// patience is how long a command may take to end by itself, by its context.
const patience = 3 * time.Second

// held is read-locked by work that ends by itself and saves first.
var held sync.RWMutex

// Hold lets work that watches its context end by itself, however long it takes to save. The caller
// calls release once it has saved. Holds do not nest.
func Hold() (release func()) {
	held.RLock()
	return held.RUnlock
}

// Context returns the context of a command, which ends at the first SIGINT or SIGTERM. A second one
// ends the program at once. A command that has not ended a while after the first, and holds
// nothing, is ended with the exit code: it loses no more than one that is killed, and its
// unfinished files are removed. The caller calls stop at the end of the command.
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
			if !passed(ended) { // it says by itself what was saved
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

// passed waits for patience, and reports whether it has passed before the end.
func passed(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return false
	case <-time.After(patience):
		return true
	}
}
