// Package connlimit bounds the connections of an HTTP server, so that idle clients cannot keep
// others out.
package connlimit

import (
	"net"
	"net/http"
	"sync"
)

// Most is how many connections a server of haf keeps.
const Most = 2048

// Bound has the server keep at most so many connections. One more closes the one that has waited
// longest without a request. It takes the server's ConnState.
func Bound(server *http.Server, most int) {
	c := &connections{most: most, waiting: map[net.Conn]int{}, all: map[net.Conn]bool{}}
	server.ConnState = c.state
}

type connections struct {
	most int

	mu      sync.Mutex
	clock   int
	all     map[net.Conn]bool
	waiting map[net.Conn]int // without a request, by when that began
}

func (c *connections) state(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	switch state {
	case http.StateNew:
		c.all[conn], c.waiting[conn] = true, c.clock
	case http.StateIdle:
		c.waiting[conn] = c.clock
	case http.StateActive:
		// The first byte of a request has come: its header and body have their own time.
		delete(c.waiting, conn)
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
		delete(c.waiting, conn)
	}
	if len(c.all) <= c.most {
		return
	}
	oldest := conn // where all have requests, the new one
	for other, since := range c.waiting {
		if at, ok := c.waiting[oldest]; !ok || since < at {
			oldest = other
		}
	}
	if _, ok := c.waiting[oldest]; ok {
		delete(c.all, oldest)
		delete(c.waiting, oldest)
		oldest.Close() // the client may be gone
	}
}
