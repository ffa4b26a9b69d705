package recipe

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"haf/pref"
)

// A World describes the demo's world at any size: its facts, and the small language model trained
// on texts about it.
type World struct {
	// seed of facts, base model and pairs
	Seed uint64 `toml:"seed" json:"seed"`
	// number of animals with facts, 2 to 24; the demo has 10
	Animals int `toml:"animals" json:"animals"`
	// number of texts for training the base model
	Texts int `toml:"texts" json:"texts"`
	// passes over the texts
	Epochs int `toml:"epochs" json:"epochs"`
}

// Preferences describe pairs of a [World]. The truth is the utility of a response. Training and
// validation pairs are the choices of annotators, who see the utility with noise and bias. Test
// pairs have the truth as their label, without pairs of equal utility.
type Preferences struct {
	// s of the probability σ(s · difference) of an annotator's choice; 0 is 1
	Sharpness float64 `toml:"sharpness" json:"sharpness"`
	// annotators' bonus to the utility of a response for each of its words
	Length float64 `toml:"length" json:"length"`
	// annotators' bonus for a phrase without utility
	Phrase float64 `toml:"phrase" json:"phrase"`
	// difference of the test: "wording", the default; "animals", whose facts occur in no training
	// pair; "none"
	Shift string `toml:"shift" json:"shift"`
}

// Shifts of [Preferences].
const (
	ShiftWording = "wording"
	ShiftAnimals = "animals"
	ShiftNone    = "none"
)

// demoPhrase is of no use in a response.
const demoPhrase = "as everybody knows"

// moreAnimals are those of worlds larger than the demo's.
var moreAnimals = []string{"seal", "lynx", "hawk", "toad", "goat", "moth", "crab", "swan", "boar",
	"wasp", "mink", "ibis", "dove", "pike"}

// Check returns an error that names the first setting out of range.
func (w World) Check() error {
	switch most := len(demoAnimals) + len(moreAnimals); {
	case w.Animals < 2 || w.Animals > most:
		return fmt.Errorf("recipe: world: animals is %d, want 2 to %d", w.Animals, most)
	case w.Texts < 1 || w.Epochs < 1:
		return fmt.Errorf("recipe: world: texts is %d and epochs %d, want at least 1 of both", w.Texts,
			w.Epochs)
	}
	return nil
}

// Check returns an error that names the first setting out of range.
func (p Preferences) Check() error {
	switch {
	case !(p.Sharpness >= 0 && p.Sharpness < math.Inf(1)):
		return fmt.Errorf("recipe: world: sharpness is %g, want a positive number", p.Sharpness)
	case !slices.Contains([]string{"", ShiftWording, ShiftAnimals, ShiftNone}, p.Shift):
		return fmt.Errorf("recipe: world: shift %q is not known: %s, %s or %s", p.Shift, ShiftWording,
			ShiftAnimals, ShiftNone)
	}
	return nil
}

func (w World) world() *world {
	animals := slices.Concat(demoAnimals, moreAnimals)[:w.Animals]
	return newWorld(Stream(w.Seed, "world"), animals, demoPhrase)
}

// WriteBase writes the random decoder and the texts into dir. It returns the recipe that trains the
// decoder to a language model.
func (w World) WriteBase(dir string) (*Recipe, error) {
	of := w.world()
	d := &Demo{Base: filepath.Join(dir, "base"), Text: filepath.Join(dir, "text.jsonl")}
	err := of.writeBase(d.Base, Stream(w.Seed, "weights"))
	if err == nil {
		_, err = of.writePairs(d.Text, w.Texts, of.asked, true, Stream(w.Seed, "text"))
	}
	if err != nil {
		return nil, fmt.Errorf("recipe: world: %w", err)
	}
	r := d.Pretrain()
	r.Train.Seed, r.Train.Epochs = w.Seed, w.Epochs
	return r, nil
}

// Pairs draws n pairs from the named random stream: annotators' choices or, if truth is set, test
// pairs.
func (w World) Pairs(p Preferences, n int, truth bool, stream string) []pref.Group {
	of, random := w.world(), Stream(w.Seed, stream)
	prompts := of.asked
	if truth && p.Shift != ShiftNone {
		prompts = of.heldOut
	}
	if p.Shift == ShiftAnimals {
		prompts = slices.DeleteFunc(slices.Clone(prompts), func(q question) bool {
			return (q.animal%2 == 1) != truth
		})
	}
	sharpness := p.Sharpness
	if sharpness == 0 {
		sharpness = 1
	}
	var out []pref.Group
	for len(out) < n {
		q := prompts[random.IntN(len(prompts))]
		a, b := of.draw(q, p, random), of.draw(q, p, random)
		d := a.use - b.use
		switch {
		case a.text == b.text || truth && d == 0:
			continue
		case truth && d < 0, !truth && random.Float64() > 1/(1+math.Exp(-sharpness*(d+a.bias-b.bias))):
			a, b = b, a
		}
		prompt := []pref.Message{{Role: pref.User, Content: q.text}}
		out = append(out, pref.NewPair(prompt, a.text, b.text, pref.Location{}))
	}
	return out
}

// A drawn response has its use, and what annotators add to it.
type drawn struct {
	text      string
	use, bias float64
}

// phraseRate is how often a response has the phrase, where annotators mind it.
const phraseRate = 0.3

func (w *world) draw(q question, p Preferences, random *rand.Rand) drawn {
	var d drawn
	d.text, d.use = w.answer(q, false, random)
	if p.Phrase != 0 && random.Float64() < phraseRate {
		d.text += " " + w.phrase
		d.bias += p.Phrase
	}
	d.bias += p.Length * float64(len(strings.Fields(d.text)))
	return d
}
