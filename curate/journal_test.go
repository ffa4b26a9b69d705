package curate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"haf/internal/durable"
)

// TestJournalDamage refuses a journal of which any byte of a part was flipped.
func TestJournalDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	j, err := OpenJournal(path, "settings")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		if err := j.Put(key, map[string]any{"text": "<" + key + ">", "reward": 1.25}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(partName(path))
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.IndexByte(whole, '\n') + 1
	for i := second; i < len(whole); i++ {
		flipped := bytes.Clone(whole)
		if flipped[i] ^= 1; whole[i] == '\n' {
			continue // two parts in one line, or a last line that is cut off
		}
		if err := os.WriteFile(partName(path), flipped, 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, "settings")
		if err == nil {
			j.Close()
			t.Fatalf("byte %d flipped, %q, and the journal was read", i, flipped[second:])
		}
		if !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
}

// TestEveryWriteFails makes each operation on the file system of a journal fail in turn, once as a
// disk that makes an error and once as one that stays full from there on. Parts that Put kept are
// there afterwards, others can be put again, and the result is whole or not there.
func TestEveryWriteFails(t *testing.T) {
	keys := []string{"a", "b", "c"}
	for _, full := range []bool{false, true} {
		for n := 1; ; n++ {
			path := filepath.Join(t.TempDir(), "out")
			asked := 0
			restore := durable.SetFault(func(durable.Op, string) error {
				if asked++; asked == n || full && asked > n {
					return syscall.ENOSPC
				}
				return nil
			})
			kept, err := work(path, keys)
			restore()
			if asked < n {
				if err != nil || n < 8 {
					t.Errorf("without a fault after %d operations: %v", n, err)
				}
				break
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("operation %d: %v", n, err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Errorf("operation %d failed, and there is a result", n)
			}
			j, err := OpenJournal(path, "settings")
			if err != nil {
				t.Fatalf("operation %d, opened again: %v", n, err)
			}
			for _, key := range kept {
				var value string
				if ok, err := j.Get(key, &value); !ok || err != nil || value != strings.Repeat(key, 99) {
					t.Errorf("operation %d: part %s is %q, %v", n, key, value, err)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := work(path, keys); err != nil {
				t.Errorf("operation %d, resumed: %v", n, err)
			}
			data, err := os.ReadFile(path)
			if want := "\"a\"\n\"b\"\n\"c\"\n"; string(data) != want || err != nil {
				t.Errorf("operation %d, resumed: %q, %v", n, data, err)
			}
		}
	}
}

// work puts what a journal lacks, whatever fails on the way, and finishes it. It returns the keys
// that were put.
func work(path string, keys []string) (kept []string, err error) {
	j, err := OpenJournal(path, "settings")
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		var value string
		if ok, failed := j.Get(key, &value); ok || failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		if failed := j.Put(key, strings.Repeat(key, 99)); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		kept = append(kept, key)
	}
	if err != nil {
		return kept, errors.Join(err, j.Close())
	}
	return kept, errors.Join(Finish(j, keys), j.Close())
}

// TestJournalFormats reads a stored journal, and refuses those of an earlier and a later haf.
func TestJournalFormats(t *testing.T) {
	for format, want := range map[int]string{
		1: "format 1, want 2: an earlier haf began it: finish it with that haf, or remove the file",
		2: "",
		3: "format 3, want 2: a later haf began it: finish it with that haf, or remove the file",
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "formats", fmt.Sprintf("%d.part", format)))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(partName(path), data, 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, map[string]string{"strategy": "margin"})
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("format %d: %v", format, err)
			}
			if left, _ := os.ReadFile(partName(path)); string(left) != string(data) {
				t.Errorf("format %d: the journal was changed", format)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var reward float64
		if ok, err := j.Get("0", &reward); !ok || err != nil || reward != 0.25 || j.Len() != 2 {
			t.Errorf("format %d: %v, %v, %v", format, reward, ok, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJournalLock lets one process at a time work on an output.
func TestJournalLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	j, err := OpenJournal(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second journal: %v", err)
	}
	if err := Finish(j, []int{1}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(path + "*")
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left: %v", left, err)
	}
}
