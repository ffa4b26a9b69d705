// Package durable writes files and folders that must survive a crash: each appears whole or not at
// all. Every package of haf writes through it, so that a test can make any operation fail.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/renameio/v2"
)

// An Op is a kind of operation on the file system.
type Op string

// The operations.
const (
	OpCreate Op = "create"
	OpWrite  Op = "write"
	OpSync   Op = "sync"
	OpRename Op = "rename"
	OpMkdir  Op = "mkdir"
	OpRemove Op = "remove"
)

// fault, if not nil, returns the error of an operation that should fail.
var fault func(op Op, path string) error

// SetFault lets tests make operations fail: f is called before each operation, and its error
// becomes the operation's. A failing write still writes the first half, as on a disk that fills up.
// restore ends this. f must be safe for concurrent use if the tested code writes concurrently.
func SetFault(f func(op Op, path string) error) (restore func()) {
	fault = f
	return func() { fault = nil }
}

// before returns the error of an operation that should fail.
func before(op Op, path string) error {
	if fault == nil {
		return nil
	}
	return fault(op, path)
}

// unfinished are the paths of files and folders that still have temporary names.
var unfinished sync.Map

// Abandon removes everything unfinished. Call it before the program ends in the middle of its work.
func Abandon() {
	unfinished.Range(func(path, _ any) bool {
		_ = os.RemoveAll(path.(string)) // the program ends anyway
		return true
	})
}

// A File is open for writing.
type File struct {
	file    *os.File
	pending *renameio.PendingFile // nil for a file opened in place
	cut     error                 // a part of a record that Append could not remove
}

// Create opens a file with a temporary name beside path. [File.Commit] renames it to path.
func Create(path string) (*File, error) {
	return create(path, renameio.WithPermissions(0o644))
}

func create(path string, options ...renameio.Option) (*File, error) {
	if err := before(OpCreate, path); err != nil {
		return nil, err
	}
	// Use the same folder, whatever $TMPDIR says, because a rename across file systems is a copy.
	options = append(options, renameio.WithTempDir(filepath.Dir(path)))
	p, err := renameio.NewPendingFile(path, options...)
	if err != nil {
		return nil, err
	}
	unfinished.Store(p.Name(), true)
	return &File{file: p.File, pending: p}, nil
}

// OpenFile opens a file in place, such as a log to append to, with os.OpenFile's flags.
func OpenFile(path string, flag int) (*File, error) {
	if err := before(OpCreate, path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return &File{file: f}, nil
}

// Write appends data.
func (f *File) Write(data []byte) (int, error) {
	if err := before(OpWrite, f.file.Name()); err != nil {
		n, writeErr := f.file.Write(data[:len(data)/2])
		return n, errors.Join(err, writeErr)
	}
	return f.file.Write(data)
}

// Append writes a record to the end of a file, whole or not at all: it removes a part that a full
// disk took, so that another record may follow. If it cannot, it writes no further record.
func (f *File) Append(record []byte) error {
	if f.cut != nil {
		return f.cut
	}
	size, err := f.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err = f.Write(record); err == nil {
		return nil
	}
	f.cut = f.Truncate(size)
	return errors.Join(err, f.cut)
}

// Sync flushes the file to disk.
func (f *File) Sync() error {
	if err := before(OpSync, f.file.Name()); err != nil {
		return err
	}
	return f.file.Sync()
}

// Truncate cuts the file to a size in bytes.
func (f *File) Truncate(size int64) error {
	if err := before(OpWrite, f.file.Name()); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

// Read reads from a file that was opened with os.O_RDWR.
func (f *File) Read(data []byte) (int, error) { return f.file.Read(data) }

// ReadAt reads from an offset of a file that was opened with os.O_RDWR.
func (f *File) ReadAt(data []byte, at int64) (int, error) { return f.file.ReadAt(data, at) }

// Seek sets the offset of the next Read or Write.
func (f *File) Seek(offset int64, whence int) (int64, error) { return f.file.Seek(offset, whence) }

// Close closes a file from [OpenFile].
func (f *File) Close() error { return f.file.Close() }

// Commit syncs the file and renames it to its final name.
func (f *File) Commit() error {
	for _, op := range []Op{OpSync, OpRename} {
		if err := before(op, f.file.Name()); err != nil {
			return err
		}
	}
	unfinished.Delete(f.file.Name())
	return f.pending.CloseAtomicallyReplace()
}

// Cleanup removes an uncommitted file. After Commit it does nothing.
func (f *File) Cleanup() {
	unfinished.Delete(f.file.Name())
	_ = f.pending.Cleanup()
}

// WriteFile replaces a file by data, whole or not at all. It keeps the file's permissions.
func WriteFile(path string, data []byte) error {
	f, err := create(path, renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Rename renames a file or folder.
func Rename(from, to string) error {
	if err := before(OpRename, to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// MkdirAll makes a folder and those above it.
func MkdirAll(path string) error {
	if err := before(OpMkdir, path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o755)
}

// RemoveAll removes a file, or a folder with its contents. A missing path is no error.
func RemoveAll(path string) error {
	if err := before(OpRemove, path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// SyncDir flushes the names in a folder to disk.
func SyncDir(path string) error {
	if err := before(OpSync, path); err != nil {
		return err
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteFolder has write fill a temporary folder, whose name begins with prefix, and renames it to
// path. After an error the previous folder is still there.
func WriteFolder(path, prefix string, write func(temporary string) error) error {
	return writeFolder(path, prefix, write, func(temporary string) error {
		if _, err := os.Lstat(path); err != nil {
			return Rename(temporary, path)
		}
		// No system call replaces a folder by another, so rename the old one first.
		aside := temporary + "-old"
		if err := Rename(path, aside); err != nil {
			return err
		}
		if err := Rename(temporary, path); err != nil {
			return errors.Join(err, os.Rename(aside, path))
		}
		return RemoveAll(aside)
	})
}

// CheckNew returns an error if an output exists already, because haf overwrites no result.
func CheckNew(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s exists already: name another output, or remove it", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// NewFolder is WriteFolder for a folder that must not exist yet.
func NewFolder(path, prefix string, write func(temporary string) error) error {
	return writeFolder(path, prefix, write, func(temporary string) error {
		return Rename(temporary, path)
	})
}

func writeFolder(path, prefix string, write, place func(temporary string) error) (err error) {
	parent := filepath.Dir(path)
	if err := MkdirAll(parent); err != nil {
		return err
	}
	if err := before(OpMkdir, path); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return err
	}
	unfinished.Store(temporary, true)
	defer func() {
		unfinished.Delete(temporary)
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temporary))
		}
	}()
	if err := write(temporary); err != nil {
		return err
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	if err := SyncDir(temporary); err != nil {
		return err
	}
	unfinished.Delete(temporary) // during the rename it may be the only copy
	if err := place(temporary); err != nil {
		return err
	}
	return SyncDir(parent)
}
