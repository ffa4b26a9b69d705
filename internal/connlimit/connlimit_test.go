package connlimit_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"haf/internal/connlimit"
)

// TestBound has many connections that send nothing, and part of a header. A request is answered all
// the same, and the oldest silent connections are closed.
func TestBound(t *testing.T) {
	const most = 8
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "here")
	}))
	connlimit.Bound(s.Config, most)
	s.Start()
	defer s.Close()
	var silent []net.Conn
	for range 10 * most {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	for range 3 {
		response, err := http.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(body) != "here" {
			t.Errorf("%q, %v", body, err)
		}
	}
	for i, conn := range silent[:9*most] { // this blocks where the server does not close it
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("connection %d gets an answer", i)
		}
	}
}
