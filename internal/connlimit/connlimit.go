// Package connlimit bounds the connections of an HTTP server, so that idle clients cannot keep
// others out.
package connlimit

import (
	"net"
	"net/http"
	"sync"
)

// Most is the limit of connections to a server of haf.
const Most = 2048

// Bound limits the server to most connections. A further one closes the connection that has waited
// longest without a request. Bound sets the server's ConnState.
func Bound(server *http.Server, most int) {
	c := &connections{most: most, waiting: map[net.Conn]int{}, all: map[net.Conn]bool{}}
	server.ConnState = c.state
}

type connections struct {
	most int

	mu      sync.Mutex
	clock   int
	all     map[net.Conn]bool
	waiting map[net.Conn]int // connections without a request, by start of the wait
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
		// A request has begun; its header and body have their own time limits.
		delete(c.waiting, conn)
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
		delete(c.waiting, conn)
	}
	if len(c.all) <= c.most {
		return
	}
	oldest := conn // if all have requests, the new one
	for other, since := range c.waiting {
		if at, ok := c.waiting[oldest]; !ok || since < at {
			oldest = other
		}
	}
	if _, ok := c.waiting[oldest]; ok {
		delete(c.all, oldest)
		delete(c.waiting, oldest)
		oldest.Close() // fails if the client is gone
	}
}
