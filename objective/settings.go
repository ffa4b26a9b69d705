package objective

import (
	"encoding/json"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// settings are the numbers of an objective that a graph reads: float64 of a [Hybrid] (float64), or
// scalars of the graph (*Node). They are inputs of a program, so that objectives of one
// [Hybrid.Structure] share it.
type settings[T any] struct {
	Beta, LinkScale, Margin, Gamma, Smoothing, NoiseRate, Eta T
	DesirableWeight, UndesirableWeight                        T
	Center, L2, BatchSum                                      T
	Reward, Policy                                            []T // weights of the active losses
}

// fields lists all of them, in the order of [Hybrid.Settings].
func (s *settings[T]) fields() []*T {
	out := []*T{
		&s.Beta, &s.LinkScale, &s.Margin, &s.Gamma, &s.Smoothing, &s.NoiseRate, &s.Eta,
		&s.DesirableWeight, &s.UndesirableWeight,
		&s.Center, &s.L2, &s.BatchSum,
	}
	for _, weights := range [][]T{s.Reward, s.Policy} {
		for i := range weights {
			out = append(out, &weights[i])
		}
	}
	return out
}

func (h Hybrid) settings() settings[float64] {
	out := settings[float64]{
		Beta: h.Beta, LinkScale: h.LinkScale, Margin: h.Margin, Gamma: h.Gamma,
		Smoothing: h.Smoothing, NoiseRate: h.NoiseRate, Eta: h.Eta,
		DesirableWeight: h.DesirableWeight, UndesirableWeight: h.UndesirableWeight,
		Center: h.Center, L2: h.L2, BatchSum: h.BatchSum,
	}
	reward, policy := h.active()
	for _, s := range reward {
		out.Reward = append(out.Reward, s.weight)
	}
	for _, s := range policy {
		out.Policy = append(out.Policy, s.weight)
	}
	return out
}

// Settings are the numbers that the graph of [Hybrid.Loss] reads from [Readout.Settings].
func (h Hybrid) Settings() []float32 {
	var out []float32
	s := h.settings()
	for _, v := range s.fields() {
		out = append(out, float32(*v))
	}
	return out
}

// nodes are the settings as scalars of the graph: parts of the input where there is one, else
// constants.
func (h Hybrid) nodes(in Readout) settings[*Node] {
	values := h.settings()
	out := settings[*Node]{Reward: make([]*Node, len(values.Reward)),
		Policy: make([]*Node, len(values.Policy))}
	g := in.WeightC.Graph()
	from := values.fields()
	for i, to := range out.fields() {
		if in.Settings == nil {
			*to = Scalar(g, dtypes.Float32, *from[i])
		} else {
			*to = Reshape(Slice(in.Settings, AxisRange(i, i+1)))
		}
	}
	return out
}

// Structure identifies the graph of [Hybrid.Loss]: objectives of one structure differ only in w, α,
// their schedule, and [Hybrid.Settings].
func (h Hybrid) Structure() string {
	names := func(shares []share) (out []string) {
		for _, s := range shares {
			out = append(out, s.name)
		}
		return out
	}
	reward, policy := h.active()
	key, err := json.Marshal(struct {
		Reward, Policy                    []string
		Link                              string
		DF                                float64
		Scaled, Learns, Center, L2, Batch bool
		TieRate                           float64
		Explicit                          string
	}{names(reward), names(policy), h.Link, h.LinkDF, h.LinkScale != 1, h.Learns(), h.Center != 0,
		h.L2 != 0, h.BatchSum != 0, h.TieRate, h.Explicit})
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(key)
}
