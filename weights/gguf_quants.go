package weights

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ggufTypes names the types of weights that haf reads, by their number in a GGUF file.
var ggufTypes = map[uint32]string{
	0: "F32", 1: "F16", 30: "BF16", 28: "F64",
	2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
}

func ggufTypeNames() string {
	return strings.Join(slices.Sorted(maps.Values(ggufTypes)), ", ")
}

// A quantBlock is the unit of a type of weights: a number of values stored in a number of bytes.
// decode is nil for plain numbers.
//
// The layouts and the order of the float32 operations, on which the last bit depends, are those of
// gguf.quants.dequantize of llama.cpp's Python package.
type quantBlock struct {
	values, bytes int
	decode        func(dst []float32, src []byte)
}

var quantBlocks = map[string]quantBlock{
	"Q4_0": {32, 18, decodeQ40},
	"Q4_1": {32, 20, decodeQ41},
	"Q5_0": {32, 22, decodeQ50},
	"Q5_1": {32, 24, decodeQ51},
	"Q8_0": {32, 34, decodeQ80},
	"Q4_K": {256, 144, decodeQ4K},
	"Q5_K": {256, 176, decodeQ5K},
	"Q6_K": {256, 210, decodeQ6K},
}

// blockOf returns the block of a dtype that haf reads from GGUF files.
func blockOf(dtype string) quantBlock {
	if b, ok := quantBlocks[dtype]; ok {
		return b
	}
	return quantBlock{values: 1, bytes: int(dtypeBits[dtype] / 8)}
}

// readBlocks reads and dequantizes all values.
func (t *tensor) readBlocks(b quantBlock) (Array, error) {
	data := make([]float32, t.Bytes/int64(b.bytes)*int64(b.values))
	whole := int64(readChunk / b.bytes * b.bytes)
	buf := make([]byte, min(t.Bytes, whole))
	at := 0
	for done := int64(0); done < t.Bytes; done += int64(len(buf)) {
		buf = buf[:min(t.Bytes-done, whole)]
		if n, err := t.source.ReadAt(buf, t.offset+done); n < len(buf) {
			return Array{}, fmt.Errorf("weights: %s: reading %s: %w", t.File, t.Name, truncated(err))
		}
		for i := 0; i < len(buf); i += b.bytes {
			b.decode(data[at:at+b.values], buf[i:i+b.bytes])
			at += b.values
		}
	}
	return Array{Name: t.Name, Shape: slices.Clone(t.Shape), Data: data}, nil
}

func half(src []byte) float32 { return widenFloat16(binary.LittleEndian.Uint16(src)) }

// decodeQ40: x = d·(q − 8). The low halves of the 16 bytes come first.
func decodeQ40(dst []float32, src []byte) {
	d := half(src)
	for i, q := range src[2:18] {
		dst[i] = d * float32(int(q&15)-8)
		dst[16+i] = d * float32(int(q>>4)-8)
	}
}

// decodeQ41: x = d·q + m. The conversions keep the compiler from fusing the two operations into one
// rounding.
func decodeQ41(dst []float32, src []byte) {
	d, m := half(src), half(src[2:])
	for i, q := range src[4:20] {
		dst[i] = float32(d*float32(q&15)) + m
		dst[16+i] = float32(d*float32(q>>4)) + m
	}
}

// decodeQ50: like Q4_0 with a fifth bit from a 32-bit mask; x = d·(q − 16).
func decodeQ50(dst []float32, src []byte) {
	d, high := half(src), binary.LittleEndian.Uint32(src[2:])
	for i, q := range src[6:22] {
		dst[i] = d * float32(int(q&15|byte(high>>i&1)<<4)-16)
		dst[16+i] = d * float32(int(q>>4|byte(high>>(i+16)&1)<<4)-16)
	}
}

// decodeQ51: x = d·q + m with five bits.
func decodeQ51(dst []float32, src []byte) {
	d, m, high := half(src), half(src[2:]), binary.LittleEndian.Uint32(src[4:])
	for i, q := range src[8:24] {
		dst[i] = float32(d*float32(q&15|byte(high>>i&1)<<4)) + m
		dst[16+i] = float32(d*float32(q>>4|byte(high>>(i+16)&1)<<4)) + m
	}
}

// decodeQ80: x = q·d.
func decodeQ80(dst []float32, src []byte) {
	d := half(src)
	for i, q := range src[2:34] {
		dst[i] = float32(int8(q)) * d
	}
}

// scaleAndMin unpacks pair j of the eight pairs of 6-bit numbers that Q4_K and Q5_K pack into 12
// bytes.
func scaleAndMin(packed []byte, j int) (scale, low byte) {
	if j < 4 {
		return packed[j] & 63, packed[j+4] & 63
	}
	return packed[j+4]&15 | packed[j-4]>>6<<4, packed[j+4]>>4 | packed[j]>>6<<4
}

// decodeQ4K: eight groups of 32, x = (d·scale)·q − (dmin·min).
func decodeQ4K(dst []float32, src []byte) {
	d, dmin, packed, quants := half(src), half(src[2:]), src[4:16], src[16:144]
	for j := range 8 {
		scale, low := scaleAndMin(packed, j)
		dj, mj := d*float32(scale), dmin*float32(low)
		for i, q := range quants[j/2*32 : j/2*32+32] {
			dst[32*j+i] = float32(dj*float32(q>>(4*(j%2))&15)) - mj
		}
	}
}

// decodeQ5K: like Q4_K with a fifth bit for each value in 32 further bytes.
func decodeQ5K(dst []float32, src []byte) {
	d, dmin, packed, high, quants := half(src), half(src[2:]), src[4:16], src[16:48], src[48:176]
	for j := range 8 {
		scale, low := scaleAndMin(packed, j)
		dj, mj := d*float32(scale), dmin*float32(low)
		for i, q := range quants[j/2*32 : j/2*32+32] {
			dst[32*j+i] = float32(dj*float32(q>>(4*(j%2))&15|high[i]>>j&1<<4)) - mj
		}
	}
}

// decodeQ6K: sixteen groups of 16, x = (d·scale)·(q − 32), where q has four low and two high bits.
func decodeQ6K(dst []float32, src []byte) {
	low, high, scales, d := src[:128], src[128:192], src[192:208], half(src[208:])
	for n := range 256 {
		part, at := n/128, n%128 // halves of 128 values: 64 low bytes, 32 high bytes
		q := low[64*part+at%64] >> (4 * (at / 64)) & 15
		q |= high[32*part+at%32] >> (2 * (at / 32)) & 3 << 4
		dst[n] = float32(d*float32(int8(scales[n/16]))) * float32(int(q)-32)
	}
}
