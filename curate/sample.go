package curate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"haf/pref"
)

// Sampling sets how prompts are sampled.
type Sampling struct {
	N int `json:"n"` // samples per prompt
	pref.Sampling
	// TemperatureTo, if above Temperature, is the upper end of an interval from which each sample's
	// temperature is drawn uniformly.
	TemperatureTo float64 `json:"temperature_to,omitempty"`
}

// Paper returns the protocol of HaF-RM's best-of-n (docs/guide/sampling-and-relabelling.md): n
// samples (4 with Phi-2, 8 with Mistral), top-p 0.85, temperatures from 0.5 to 1.2.
func Paper(n int) Sampling {
	return Sampling{N: n, TemperatureTo: 1.2, Sampling: pref.Sampling{MaxTokens: 512, Temperature: 0.5,
		TopP: 0.85}}
}

// Protocol returns the sampling of a protocol, paper4 or paper8, or the zero value for "".
func Protocol(name string) (Sampling, error) {
	switch name {
	case "":
		return Sampling{}, nil
	case "paper4":
		return Paper(4), nil
	case "paper8":
		return Paper(8), nil
	}
	return Sampling{}, fmt.Errorf("%q, want paper4 or paper8", name)
}

// Check returns an error that names the first setting out of range.
func (s Sampling) Check() error {
	switch {
	case s.N < 1:
		return fmt.Errorf("curate: %d samples of a prompt, want at least 1", s.N)
	case s.N > 1 && s.Temperature == 0 && !(s.TemperatureTo > 0):
		return fmt.Errorf("curate: %d greedy samples of a prompt would be the same: set a temperature",
			s.N)
	case s.TemperatureTo != 0 && !(s.TemperatureTo >= s.Temperature && s.TemperatureTo <= 100):
		return fmt.Errorf("curate: temperatures from %g to %g, want the second to be the larger",
			s.Temperature, s.TemperatureTo)
	}
	return s.Sampling.Check()
}

// A Sample is a generated response with its origin. haf score -in reads its rows.
type Sample struct {
	Prompt []pref.Message `json:"prompt"`
	pref.Generated
	Sample      int     `json:"sample"` // number within the prompt, from 0
	Temperature float64 `json:"temperature"`
	Seed        uint64  `json:"seed"`
}

// request returns the request for sample k. Seed and temperature depend on the prompt, not on its
// position in the file.
func (s Sampling) request(prompt []pref.Message, k int) pref.Request {
	key := pref.Group{Prompt: prompt}.PromptKey()
	hash := sha256.Sum256(fmt.Appendf(key[:], "%d/%d", s.Seed, k))
	q := pref.Request{Prompt: prompt, Sampling: s.Sampling}
	q.Seed = binary.LittleEndian.Uint64(hash[:]) >> 1 // because servers take signed numbers
	if s.TemperatureTo > s.Temperature {
		random := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(hash[8:]), 0))
		q.Temperature += (s.TemperatureTo - s.Temperature) * random.Float64()
	}
	return q
}

// Samples generates the samples that the journal lacks and returns all: [prompt][sample]. progress,
// which may be nil, gets their number.
func Samples(
	ctx context.Context, generator pref.Generator, prompts [][]pref.Message, s Sampling,
	journal *Journal, progress func(done, total int),
) ([][]Sample, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	out := make([][]Sample, len(prompts))
	type place struct{ prompt, sample int }
	var places []place
	var requests []pref.Request
	key := func(p place) string { return fmt.Sprintf("sample %d %d", p.prompt, p.sample) }
	done := 0
	for i, prompt := range prompts {
		out[i] = make([]Sample, s.N)
		for k := range s.N {
			have, err := journal.Get(key(place{i, k}), &out[i][k])
			if err != nil {
				return nil, err
			}
			if have {
				done++
				continue
			}
			places, requests = append(places, place{i, k}), append(requests, s.request(prompt, k))
		}
	}
	total := len(prompts) * s.N
	report := func() {
		if progress != nil {
			progress(done, total)
		}
	}
	report()
	if len(requests) == 0 {
		return out, nil
	}
	err := generator.Generate(ctx, requests, func(i int, g pref.Generated) error {
		p := places[i]
		out[p.prompt][p.sample] = Sample{Prompt: requests[i].Prompt, Generated: g, Sample: p.sample,
			Temperature: requests[i].Temperature, Seed: requests[i].Seed}
		done++
		report()
		return journal.Put(key(p), out[p.prompt][p.sample])
	})
	return out, err
}
