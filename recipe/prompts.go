package recipe

import (
	"fmt"

	"haf/pref"
)

// Prompts are the prompts of a run of haf rlhf.
type Prompts struct {
	Train, HeldOut [][]pref.Message
	Report         []string // counts of what was read and left out
}

// Prompts reads the prompts of data.train and, if the policy is evaluated, the held-out ones: those
// of data.valid, which the training leaves out, or a part of data.train.
func (r *Recipe) Prompts() (Prompts, error) {
	var p Prompts
	train, repeated, err := pref.LoadPrompts(r.Data.Train, r.Data.Options())
	if err != nil {
		return p, err
	}
	p.Train = train
	p.logf("prompts read: %d, %d repeated ones left out", len(train), repeated)
	if r.RLHF.EvalEvery == 0 {
		return p, nil
	}
	if len(r.Data.Valid) == 0 {
		seed := StreamSeed(r.Train.Seed, "split")
		rest, held := pref.SplitByPrompt(asGroups(train), r.Data.ValidFraction, seed)
		p.Train, p.HeldOut = promptsOf(rest), promptsOf(held)
		p.logf("held-out prompts: %d of these", len(held))
	} else if err := p.holdOut(r.Data); err != nil {
		return p, err
	}
	if len(p.Train) == 0 || len(p.HeldOut) == 0 {
		return p, fmt.Errorf("recipe: %d prompts are left to learn from and %d are held out, want some "+
			"of both: give more prompts, set data.valid or data.valid_fraction, or leave out "+
			"rlhf.eval_every", len(p.Train), len(p.HeldOut))
	}
	return p, nil
}

// holdOut reads the held-out prompts, those of d.Valid, and takes them out of the others.
func (p *Prompts) holdOut(d Data) error {
	opt := d.Options()
	opt.Limit = 0
	held, repeated, err := pref.LoadPrompts(d.Valid, opt)
	if err != nil {
		return err
	}
	key := func(prompt []pref.Message) pref.PromptKey { return pref.Group{Prompt: prompt}.PromptKey() }
	isHeld := map[pref.PromptKey]bool{}
	for _, prompt := range held {
		isHeld[key(prompt)] = true
	}
	var rest [][]pref.Message
	for _, prompt := range p.Train {
		if !isHeld[key(prompt)] {
			rest = append(rest, prompt)
		}
	}
	p.logf("held-out prompts read: %d, %d repeated ones left out; %d taken out of the training",
		len(held), repeated, len(p.Train)-len(rest))
	p.Train, p.HeldOut = rest, held
	return nil
}

func (p *Prompts) logf(format string, args ...any) {
	p.Report = append(p.Report, fmt.Sprintf(format, args...))
}

func asGroups(prompts [][]pref.Message) []pref.Group {
	groups := make([]pref.Group, len(prompts))
	for i, prompt := range prompts {
		groups[i].Prompt = prompt
	}
	return groups
}

func promptsOf(groups []pref.Group) [][]pref.Message {
	prompts := make([][]pref.Message, len(groups))
	for i, g := range groups {
		prompts[i] = g.Prompt
	}
	return prompts
}
