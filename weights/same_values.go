package weights

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// SameValues reports whether a tensor has the shape and values of a tensor in another checkpoint.
func (c *Tensors) SameValues(name string, other *Tensors, otherName string) (bool, error) {
	a, err := c.find(name)
	if err != nil {
		return false, err
	}
	b, err := other.find(otherName)
	if err != nil {
		return false, err
	}
	if !slices.Equal(a.Shape, b.Shape) {
		return false, nil
	}
	if a.DType == b.DType && a.heads == b.heads {
		return a.sameBytes(b)
	}
	va, err := a.read()
	if err != nil {
		return false, err
	}
	vb, err := b.read()
	return slices.Equal(va.Data, vb.Data), err
}

// sameBytes compares the stored bytes of two tensors of one size.
func (t *tensor) sameBytes(other *tensor) (bool, error) {
	a, b := make([]byte, readChunk), make([]byte, readChunk)
	for done := int64(0); done < t.Bytes; done += readChunk {
		n := min(t.Bytes-done, readChunk)
		for _, side := range []struct {
			t   *tensor
			buf []byte
		}{{t, a[:n]}, {other, b[:n]}} {
			read, err := side.t.source.ReadAt(side.buf, side.t.offset+done)
			if int64(read) < n {
				return false, fmt.Errorf("weights: %s: reading %s: %w", side.t.File, side.t.Name,
					truncated(err))
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return false, fmt.Errorf("weights: %s: reading %s: %w", side.t.File, side.t.Name, err)
			}
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
	}
	return true, nil
}
