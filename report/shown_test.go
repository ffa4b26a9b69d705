package report

import "testing"

func TestShown(t *testing.T) {
	if got, want := shown("a\nb\x1b[31m\u202ec é"), "a\ufffdb\ufffd[31m\ufffdc é"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
