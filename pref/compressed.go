package pref

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow bounds the memory that a zstd file may ask for; `zstd --long` asks for as much.
	maxWindow = 128 << 20
	// A compressed file, or one of Parquet, that has given more than freeExpansion bytes must not
	// have grown more than maxExpansion-fold: text of any use grows less, so what does is made to
	// fill a disk or memory.
	freeExpansion = 256 << 20
	maxExpansion  = 1000
)

// uncompressed returns the content of a gzip or zstd stream; done frees what reading it took.
func uncompressed(in io.Reader, kind string) (text io.Reader, done func(), err error) {
	counted := &counter{r: in}
	out := &expanded{in: counted, kind: kind, free: freeExpansion}
	if kind == kindGzip {
		z, err := gzip.NewReader(counted)
		if err != nil {
			return nil, nil, damagedCompression(kind, err)
		}
		out.r = z
		return out, func() {}, nil
	}
	z, err := zstd.NewReader(counted, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, nil, damagedCompression(kind, err)
	}
	out.r = z
	return out, z.Close, nil
}

// counter counts the bytes that are read through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// expanded is the content of a compressed stream. It tells damage of the compression from damage of
// the text in it, and fails where the content is out of proportion.
type expanded struct {
	r    io.Reader
	in   *counter
	kind string
	n    int64 // bytes of content so far
	free int64 // of content, from which on the proportion counts
}

func (e *expanded) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.n += int64(n)
	switch {
	case err != nil && err != io.EOF:
		err = damagedCompression(e.kind, err)
	default:
		if over := checkExpansion(e.in.n, e.n, e.free, e.kind); over != nil {
			err = over
		}
	}
	return n, err
}

// checkExpansion returns an error where stored bytes hold out of proportion more text, if that is
// more than free bytes.
func checkExpansion(stored, text, free int64, kind string) error {
	if text <= free || text/maxExpansion <= stored {
		return nil
	}
	return fmt.Errorf("%d bytes of %s hold more than %d bytes of text, over %d times as many: it is "+
		"no data of preferences", stored, kind, text, maxExpansion)
}

func damagedCompression(kind string, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF:
		return fmt.Errorf("truncated %s, want a whole file: fetch it again", kind)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("the zstd file needs a window of more than %d bytes: compress it again "+
			"without --ultra or --long", maxWindow)
	}
	return fmt.Errorf("damaged %s, want a whole file: fetch it again: %w", kind, err)
}
