package reward_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"haf/chat"
	"haf/encode"
	"haf/pref"
	"haf/reward"
	"haf/tokenizer"
)

// chatTemplate asks for a variable and the date, and opens with no BOS.
const chatTemplate = `{% for m in messages %}{% if m.role == 'assistant' %} : {{ m.content }}{{ eos_token }}{% else %}{{ m.content }}{% endif %}{% endfor %}` +
	`{% if polite %} please{% endif %}{% if strftime_now is defined %} {{ strftime_now("%d %b %Y") }}{% endif %}`

func withTemplate(t *testing.T, dir, source string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(source),
		0o644); err != nil {
		t.Fatal(err)
	}
}

func textOf(t *testing.T, m *reward.Model) string {
	t.Helper()
	c, _, err := m.Encoder.Conversation(samples()[0].Prompt, "mice")
	if err != nil {
		t.Fatal(err)
	}
	return m.Tokenizer.Decode(c.Tokens, false)
}

// TestChatOptions: variables, date and BOS of a conversation are the model's own from training on,
// in haf.json and in the template that is saved, so that a program that knows nothing of haf makes
// the same text.
func TestChatOptions(t *testing.T) {
	device, base := demoBase(t)
	withTemplate(t, base, chatTemplate)
	yes := map[string]json.RawMessage{"polite": json.RawMessage("true")}
	for _, c := range []struct {
		name string
		opt  reward.ChatOptions
		want string // in the text
	}{
		{"as they are", reward.ChatOptions{}, "mice</s>"},
		{"a variable", reward.ChatOptions{Args: yes}, "please"},
		{"BOS once", reward.ChatOptions{BOS: encode.BOSOnce}, "<s>"},
		{"BOS twice and a variable", reward.ChatOptions{BOS: encode.BOSTwice, Args: yes}, "<s><s>"},
		{"read at the end of the turn", reward.ChatOptions{Read: encode.ReadEnd}, "mice</s>"},
		{"a day", reward.ChatOptions{Date: "2001-02-03"}, ""},
	} {
		trained := open(t, device, base, reward.Options{Train: true, Chat: c.opt})
		trained.Meta.Heads = []string{"score"}
		text := textOf(t, trained)
		if !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, want %q in it", c.name, text, c.want)
		}
		dir := filepath.Join(t.TempDir(), "model")
		if err := trained.Save(dir); err != nil {
			t.Fatal(err)
		}
		saved := open(t, device, dir, reward.Options{})
		if got := textOf(t, saved); got != text || saved.Encoder.Hash() != trained.Encoder.Hash() {
			t.Errorf("%s: opened again %q, want %q", c.name, got, text)
		}
		if saved.Meta.Read != trained.Meta.Read || saved.Meta.BOS != trained.Meta.BOS ||
			saved.Meta.Template.Date != trained.Meta.Template.Date {
			t.Errorf("%s: opened again %+v, want %+v", c.name, saved.Meta, trained.Meta)
		}
		// Another program has the folder's template alone, on another day.
		if err := os.Remove(filepath.Join(dir, reward.MetaName)); err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		tpl, err := chat.Of(tok)
		if err != nil {
			t.Fatal(err)
		}
		rendered, err := tpl.At(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)).Render(
			[]chat.Message{{Role: "user", Content: samples()[0].Prompt[0].Content},
				{Role: "assistant", Content: "mice"}}, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Decode(tok.Encode(rendered, false), false); got != text {
			t.Errorf("%s: another program reads %q, want %q", c.name, got, text)
		}
	}
}

// TestDates: a model that haf did not train writes the same day whenever it is opened; one that it
// trains, the day of training.
func TestDates(t *testing.T) {
	device, base := demoBase(t)
	withTemplate(t, base, chatTemplate)
	foreign := open(t, device, base, reward.Options{})
	if got := foreign.Meta.Template.Date; got != reward.DefaultDate ||
		len(foreign.FormatNotes()) == 0 {
		t.Errorf("date %q with notes %q, want %s and a note of it", got, foreign.FormatNotes(),
			reward.DefaultDate)
	}
	today := time.Now().Format("2006-01-02")
	trained := open(t, device, base, reward.Options{Train: true})
	if got := trained.Meta.Template.Date; got != today && got != time.Now().Format("2006-01-02") {
		t.Errorf("date of a model to be trained %q, want %s", got, today)
	}
	other := open(t, device, base, reward.Options{Chat: reward.ChatOptions{Date: "2001-02-03"}})
	if foreign.Encoder.Hash() == other.Encoder.Hash() {
		t.Error("another day does not change the encoder's hash")
	}
	if _, err := reward.Open(device, base,
		reward.Options{Chat: reward.ChatOptions{Date: "today"}}); err == nil ||
		!strings.Contains(err.Error(), `date is "today"`) {
		t.Errorf("error %v", err)
	}
}

// TestServedTemplateArgs: a request's variables of the template are those of its text.
func TestServedTemplateArgs(t *testing.T) {
	device, base := demoBase(t)
	withTemplate(t, base, chatTemplate)
	m := changed(t, device, base, false)
	w := engine(t, m, reward.EngineOptions{Rewards: []string{reward.ByScore}, MaxLength: 64})
	read := func(args map[string]json.RawMessage) float64 {
		t.Helper()
		item, err := w.Encode(pref.Input{Sample: samples()[0], TemplateArgs: args},
			[]string{reward.ByScore}, false)
		if err != nil {
			t.Fatal(err)
		}
		values, err := w.Read(t.Context(), []pref.Item{item})
		if err != nil {
			t.Fatal(err)
		}
		return values[0].Rewards[reward.ByScore]
	}
	none, polite := read(nil), read(map[string]json.RawMessage{"polite": json.RawMessage("true")})
	if none == polite || none != read(map[string]json.RawMessage{"polite": json.RawMessage("false")}) {
		t.Errorf("rewards %v without and %v with the variable", none, polite)
	}
	if _, err := w.Encode(pref.Input{Sample: samples()[0],
		TemplateArgs: map[string]json.RawMessage{"messages": json.RawMessage("[]")}},
		[]string{reward.ByScore}, false); err == nil {
		t.Error("messages were taken as a variable")
	}
}
