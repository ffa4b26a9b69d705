package reward

import (
	"fmt"
	"testing"

	"haf/encode"
)

// A conversation that stands in several groups, or in several calls of one pass, has one reward.
func TestUnify(t *testing.T) {
	said := func(tokens ...int32) encode.Response { return encode.Response{Tokens: tokens} }
	p := pass{seen: map[responseKey][]float64{}}
	rewards := [][][]float64{{{1, 2}, {2.5, 3}, {4}}, {{-1, -2}, {-2.5, -3}, {-4}}}
	p.unify([]encode.Group{
		{Prompt: []int32{1}, Responses: []encode.Response{said(5), said(6)}},
		{Prompt: []int32{1}, Responses: []encode.Response{said(6), said(7)}},
		{Prompt: []int32{2}, Responses: []encode.Response{said(6)}}, // another prompt
	}, rewards)
	if got := fmt.Sprint(rewards); got != "[[[1 2] [2 3] [4]] [[-1 -2] [-2 -3] [-4]]]" {
		t.Error(got)
	}
	later := [][][]float64{{{9}}, {{9}}}
	p.unify([]encode.Group{{Prompt: []int32{1}, Responses: []encode.Response{said(7)}}}, later)
	if got := fmt.Sprint(later); got != "[[[3]] [[-3]]]" {
		t.Error(got)
	}
}
