package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestAcquire holds a lock once, and again after it was given back.
func TestAcquire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for _, end := range []func(*Lock) error{(*Lock).Release, (*Lock).Remove} {
		l, err := Acquire(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Acquire(path); !errors.Is(err, ErrHeld) {
			t.Errorf("acquired twice: %v", err)
		}
		if err := end(l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
	if _, err := Acquire(filepath.Join(t.TempDir(), "no", "lock")); err == nil {
		t.Error("locked in a folder that is not there")
	}
}

// TestRemoveRace has many take and remove a lock at once: never two hold it.
func TestRemoveRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var holders sync.Mutex // locked by whoever has the lock
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				l, err := Acquire(path)
				if errors.Is(err, ErrHeld) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if !holders.TryLock() {
					t.Error("two hold the lock")
					return
				}
				holders.Unlock()
				if err := l.Remove(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
