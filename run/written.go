package run

import (
	"fmt"
	"hash/crc32"
)

// Written records the size and the checksum of a growing file's content.
type Written struct {
	Bytes  int64  `json:"bytes"`
	CRC32C uint32 `json:"crc32c"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func writtenOf(data []byte) Written { return Written{}.and(data) }

// and returns Written after more data.
func (w Written) and(data []byte) Written {
	return Written{w.Bytes + int64(len(data)), crc32.Update(w.CRC32C, castagnoli, data)}
}

// check compares the beginning of a file's content with w.
func (w Written) check(data []byte) error {
	if int64(len(data)) < w.Bytes {
		return fmt.Errorf("has %d bytes, but %d were written: it is damaged; restore it from a copy",
			len(data), w.Bytes)
	}
	if got := writtenOf(data[:w.Bytes]); got != w {
		return fmt.Errorf("is damaged or was changed: the CRC-32C of its first %d bytes is %08x, but "+
			"%08x was written; restore it from a copy", w.Bytes, got.CRC32C, w.CRC32C)
	}
	return nil
}
