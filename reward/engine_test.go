package reward_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"haf/encode"
	"haf/pref"
	"haf/reward"
)

func engine(t *testing.T, m *reward.Model, opt reward.EngineOptions) *reward.Engine {
	t.Helper()
	w, err := m.Engine(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// served are the engine's default rewards of the samples.
func served(t *testing.T, e *reward.Engine) []float64 {
	t.Helper()
	var items []pref.Item
	for _, s := range samples() {
		item, err := e.Encode(pref.Input{Sample: s}, e.Rewards()[:1], false)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	values, err := e.Read(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v.Rewards[e.Rewards()[0]]
	}
	return out
}

// savedModel is a changed model, saved and opened again.
func savedModel(t *testing.T, lora bool) *reward.Model {
	t.Helper()
	device, base := demoBase(t)
	m := changed(t, device, base, lora)
	dir := t.TempDir() + "/model"
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	return open(t, device, dir, reward.Options{})
}

// TestEngineEqualsReader wants of an engine, whatever stands in the batch, the rewards that an
// evaluation reads, and no program compiled after it was made ready.
func TestEngineEqualsReader(t *testing.T) {
	for name, lora := range map[string]bool{"full": false, "adapter": true} {
		t.Run(name, func(t *testing.T) {
			m := savedModel(t, lora)
			names := []string{reward.ByScore, reward.ByImplicit, reward.ByNormalized}
			var groups []pref.Group
			for i := range 16 {
				g := pref.Group{
					Prompt: []pref.Message{
						{Role: pref.User, Content: fmt.Sprint("what does the fox eat ",
							strings.Repeat("and the owl ", i%7))}}}
				for k := range 1 + i%4 {
					g.Responses = append(g.Responses, "the fox eats "+strings.Repeat("mice and berries ",
						(i+k)%11))
				}
				groups = append(groups, g)
			}
			read, err := m.Reader(reward.ReaderOptions{}).Read(t.Context(), groups, names)
			if err != nil {
				t.Fatal(err)
			}
			want := read.Rewards
			w := engine(t, m, reward.EngineOptions{Rewards: names, MaxLength: 128})
			compiled := m.Programs()
			var items []pref.Item
			for _, g := range groups {
				for _, s := range g.Samples() {
					item, err := w.Encode(pref.Input{Sample: s}, names, true)
					if err != nil {
						t.Fatal(err)
					}
					items = append(items, item)
				}
			}
			values, err := w.Read(t.Context(), items)
			if err != nil {
				t.Fatal(err)
			}
			i := 0
			for g := range groups {
				for k := range groups[g].Responses {
					sum := 0.0
					for _, token := range values[i].Tokens {
						sum += token.Reward
					}
					if _, n := items[i].Len(); n != len(values[i].Tokens) {
						t.Errorf("%d tokens' rewards of a response of %d", len(values[i].Tokens), n)
					}
					if last := values[i].Tokens[len(values[i].Tokens)-1].Token; last != "</s>" {
						t.Errorf("the last token is %q", last)
					}
					same(t, "sum over tokens", sum, want[reward.ByImplicit][g][k])
					for _, name := range names {
						same(t, name, values[i].Rewards[name], want[name][g][k])
					}
					i++
				}
			}
			// Of the score head alone items share whatever they begin with, and are read in another order.
			items = nil
			for _, g := range groups {
				for _, sample := range g.Samples() {
					item, err := w.Encode(pref.Input{Sample: sample}, names[:1], false)
					if err != nil {
						t.Fatal(err)
					}
					items = append(items, item)
				}
			}
			if values, err = w.Read(t.Context(), items); err != nil {
				t.Fatal(err)
			}
			i = 0
			for g := range groups {
				for k := range groups[g].Responses {
					same(t, "score", values[i].Rewards[reward.ByScore], want[reward.ByScore][g][k])
					i++
				}
			}
			if n := m.Programs(); n != compiled {
				t.Errorf("%d programs were compiled for a batch, want none", n-compiled)
			}
		})
	}
}

// TestVerbatim wants the reward of a sample of the text and of the tokens that it becomes.
func TestVerbatim(t *testing.T) {
	m := savedModel(t, false)
	w := engine(t, m, reward.EngineOptions{Rewards: []string{reward.ByScore, reward.ByImplicit},
		MaxLength: 64})
	read := func(in pref.Input, name string) float64 {
		t.Helper()
		item, err := w.Encode(in, []string{name}, false)
		if err != nil {
			t.Fatal(err)
		}
		values, err := w.Read(t.Context(), []pref.Item{item})
		if err != nil {
			t.Fatal(err)
		}
		return values[0].Rewards[name]
	}
	sample := samples()[0]
	want, wantImplicit := read(pref.Input{Sample: sample}, reward.ByScore),
		read(pref.Input{Sample: sample}, reward.ByImplicit)
	const prompt = "<s>what does the fox eat :"
	whole := prompt + " the fox eats berries</s>"
	for _, in := range []pref.Input{
		{Text: whole}, {Text: strings.TrimPrefix(whole, "<s>")}, {Text: whole, PromptText: prompt},
		{Tokens: m.Tokenizer.Encode(whole, false)},
	} {
		if got := read(in, reward.ByScore); math.Abs(got-want) > 1e-5 {
			t.Errorf("%+v has reward %v, as a sample %v", in, got, want)
		}
	}
	if got := read(pref.Input{Text: whole, PromptText: prompt},
		reward.ByImplicit); math.Abs(got-wantImplicit) > 1e-5 {
		t.Errorf("%q has implicit reward %v, as a sample %v", whole, got, wantImplicit)
	}
	// Nothing is put behind a text: one that is cut before its end has another reward.
	if got := read(pref.Input{Text: prompt + " the fox"}, reward.ByScore); math.Abs(got-want) < 1e-3 {
		t.Errorf("a text without its end has reward %v, as the whole", got)
	}
	for name, c := range map[string]struct {
		in   pref.Input
		want error
		text string
	}{
		"response unknown": {pref.Input{Text: whole}, encode.ErrNoResponse, ""},
		"other prompt":     {pref.Input{Text: whole, PromptText: "where"}, encode.ErrNoResponse, ""},
		"outside": {pref.Input{Tokens: []int32{3, int32(m.Config.Vocab)}}, nil,
			"not in the vocabulary"},
		"negative": {pref.Input{Tokens: []int32{-1}}, nil, "not in the vocabulary"},
		"no token": {pref.Input{Tokens: []int32{}}, encode.ErrNoResponse, ""},
		"too long": {pref.Input{Text: strings.Repeat("fox ", 3000), PromptText: "fox "},
			reward.ErrTooLong, ""},
	} {
		_, err := w.Encode(c.in, []string{reward.ByImplicit}, false)
		if err == nil || c.want != nil && !errors.Is(err, c.want) ||
			!strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v %s", name, err, c.want, c.text)
		}
	}
}

func TestEngineRefuses(t *testing.T) {
	m := savedModel(t, false)
	if _, err := m.Engine(t.Context(), reward.EngineOptions{Rewards: []string{"best"}}); err == nil ||
		!strings.Contains(err.Error(), `"best" is not known`) {
		t.Error(err)
	}
	if _, err := m.Engine(t.Context(), reward.EngineOptions{MaxLength: 100000}); err == nil ||
		!strings.Contains(err.Error(), "has positions for 256") {
		t.Error(err)
	}
	w := engine(t, m, reward.EngineOptions{Rewards: []string{reward.ByScore}, MaxLength: 64})
	in := pref.Input{Sample: samples()[0]}
	if _, err := w.Encode(in, []string{reward.ByImplicit}, false); err == nil ||
		!strings.Contains(err.Error(), "which has [score]") {
		t.Error(err)
	}
	if _, err := w.Encode(in, []string{reward.ByScore}, true); err == nil ||
		!strings.Contains(err.Error(), "not served of this model") {
		t.Error(err)
	}
}

// TestEngineAdopts wants a model that takes the place of one of the same structure to compile
// nothing, to give its own rewards, and to go on when the former is closed.
func TestEngineAdopts(t *testing.T) {
	device, base := demoBase(t)
	var folders []string
	for range 2 {
		m := changed(t, device, base, false)
		if len(folders) == 1 {
			setScore(t, m)
			p := m.Params()[1]
			a, err := p.Read()
			if err != nil {
				t.Fatal(err)
			}
			for i := range a.Data {
				a.Data[i] *= 1.5
			}
			if err := m.Set(p, a); err != nil {
				t.Fatal(err)
			}
		}
		folders = append(folders, t.TempDir()+"/model")
		if err := m.Save(folders[len(folders)-1]); err != nil {
			t.Fatal(err)
		}
	}
	openAt := func(i int) *reward.Model {
		m, err := reward.Open(device, folders[i], reward.Options{Positions: 128})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	opt := reward.EngineOptions{MaxLength: 64, Rewards: []string{reward.ByScore, reward.ByImplicit}}
	first := openAt(0)
	w := engine(t, first, opt)
	opt.Before = w
	second := openAt(1)
	defer second.Close()
	took := engine(t, second, opt)
	if a, b := first.Programs(), second.Programs(); a == 0 || a != b {
		t.Errorf("%d programs, then %d: want those of the former", a, b)
	}
	compiled := second.Programs()
	w.Close()
	got := served(t, took)
	alone := openAt(1)
	defer alone.Close()
	want := rewards(t, alone, reward.ByScore)
	for i := range want {
		same(t, "reward", got[i], want[i])
	}
	if second.Programs() != compiled {
		t.Error("a program was compiled after the former was closed")
	}
	// One of another structure compiles its own.
	opt.Before = took
	other := openAt(0)
	defer other.Close()
	opt.MaxLength = 128
	if engine(t, other, opt); other.Programs() == 0 {
		t.Error("programs of other shapes were taken over")
	}
}
