package run

import (
	"testing"
	"time"
)

// TestIsRecent has last records by clocks that have jumped since.
func TestIsRecent(t *testing.T) {
	for age, want := range map[time.Duration]bool{
		time.Second: true, -time.Second: true, time.Hour: false,
		365 * 24 * time.Hour: false, -365 * 24 * time.Hour: false,
	} {
		if isRecent(time.Now().Add(-age)) != want {
			t.Errorf("a record of %s ago: want %t", age, want)
		}
	}
}
