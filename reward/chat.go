package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"haf/chat"
	"haf/encode"
	"haf/internal/wholefile"
	"haf/tokenizer"
)

// ChatOptions decide how conversations become the tokens that a model reads, and where its reward
// is read. The zero value means the training's settings for a model of haf, and transformers'
// behaviour for another program's model: see package encode.
type ChatOptions struct {
	// Template is "model" (the model's own), a built-in name, or a file of Jinja source. "" or "auto"
	// is the template of training, else the model's own if it has one, else "plain".
	Template string
	// Args are further variables of the template, such as enable_thinking.
	Args map[string]json.RawMessage
	// Date is the day that a template writes by strftime_now, YYYY-MM-DD. "" is the day of the model's
	// training, today for a model to be trained now, and [DefaultDate] for another program's model.
	Date string
	Read string // encode.ReadLast or encode.ReadEnd
	BOS  string // encode.BOSTemplate, BOSOnce, BOSTwice or BOSNone
}

// DefaultDate is the day that templates write for a model whose own day is not known. Llama 3.1's
// template writes this day if it has no clock.
const DefaultDate = "2024-07-26"

const dateForm = "2006-01-02"

// Check returns an error that names the first option that is out of range.
func (o ChatOptions) Check() error {
	if _, err := time.Parse(dateForm, o.Date); o.Date != "" && err != nil {
		return fmt.Errorf("reward: date is %q, want a day such as %s", o.Date, DefaultDate)
	}
	for _, f := range []struct {
		name, value string
		known       []string
	}{
		{"read", o.Read, []string{encode.ReadLast, encode.ReadEnd}},
		{"bos", o.BOS, []string{encode.BOSTemplate, encode.BOSOnce, encode.BOSTwice, encode.BOSNone}},
	} {
		if f.value != "" && !slices.Contains(f.known, f.value) {
			return fmt.Errorf("reward: %s is %q, want one of %s", f.name, f.value,
				strings.Join(f.known, ", "))
		}
	}
	return nil
}

// CheckTemplate returns an error unless the name is a valid ChatOptions.Template: a template's name
// or a file.
func CheckTemplate(name string) error {
	if name == "" || name == "auto" || name == "model" || chat.IsNamed(name) {
		return nil
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("reward: template: %w", err)
	}
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("reward: template %q is no file, want model, plain, phi-2, mistral or a "+
			"Jinja file", name)
	}
	return nil
}

// loadEncoder prepares the model's template and encoder.
func (m *Model) loadEncoder(opt Options) error {
	if err := opt.Chat.Check(); err != nil {
		return err
	}
	tpl, meta, err := chooseTemplate(m.Tokenizer, opt.Chat, m.Meta.Template, opt.trains())
	if err != nil {
		return err
	}
	m.template, m.Meta.Template = tpl, meta
	if longest := m.Config.MaxLength(); longest > 0 {
		if opt.MaxLength > longest {
			return fmt.Errorf("reward: a length of %d tokens is asked for, the model has positions for %d: "+
				"give a smaller max_length", opt.MaxLength, longest)
		}
		if opt.MaxLength == 0 && (opt.trains() || m.Meta.MaxLength == 0) {
			opt.MaxLength = longest
		}
	}
	if !opt.trains() { // as it was trained
		if opt.MaxLength == 0 {
			opt.MaxLength = m.Meta.MaxLength
		}
		if opt.Truncation == "" {
			opt.Truncation = m.Meta.Truncation
		}
	}
	settings := encode.Options{MaxLength: opt.MaxLength, Truncation: opt.Truncation, Read: m.Meta.Read,
		BOS: m.Meta.BOS}
	if opt.Chat.Read != "" {
		settings.Read = opt.Chat.Read
	}
	if opt.Chat.BOS != "" {
		settings.BOS = opt.Chat.BOS
	}
	if opt.trains() && !m.Meta.Trained() && !isClassifier(m.Config) {
		if m.Encoder, err = encode.New(m.Tokenizer, tpl, settings); err != nil {
			return fmt.Errorf("reward: %w", err)
		}
		pad := int(m.choosePad())
		m.Meta.Pad = &pad
	}
	if m.Meta.Pad != nil && *m.Meta.Pad != m.Config.PAD {
		c := *m.Config
		c.PAD = *m.Meta.Pad
		m.Config, m.decoder.Config = &c, &c
	}
	pad := m.Config.PAD
	m.Meta.Pad = &pad
	if id := int32(pad); id >= 0 {
		settings.Pad = &id
	}
	if m.Encoder, err = encode.New(m.Tokenizer, tpl, settings); err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	m.encoding = settings
	m.Meta.MaxLength, m.Meta.Truncation = opt.MaxLength, opt.Truncation
	m.Meta.Read, m.Meta.BOS = m.Encoder.Read(), m.Encoder.BOS()
	return nil
}

// Notes returns lines for the user who opened the model at path: changes folded into the score
// head, and unexpected ways of reading conversations.
func (m *Model) Notes(path string) []string {
	var notes []string
	if m.HeadFold != "" {
		notes = append(notes, fmt.Sprintf("the rewards of %s are normalized as its config.json asks: %s",
			path, m.HeadFold))
	}
	for _, note := range m.FormatNotes() {
		notes = append(notes, path+": "+note)
	}
	return notes
}

// FormatNotes returns lines about unexpected ways of reading conversations: by a template that the
// model does not have, with a date that it does not state, or at another token than in
// transformers.
func (m *Model) FormatNotes() []string {
	if m.Encoder == nil {
		return nil
	}
	var notes []string
	template, trained := m.Meta.Template, m.Meta.Trained()
	_, none := chat.Of(m.Tokenizer)
	switch {
	case template.Name == "model" || trained:
	case none != nil:
		notes = append(notes, fmt.Sprintf("the model has no chat template of its own: conversations are "+
			"written by the template %q; "+
			"-template or model.template names another", template.Name))
	default:
		notes = append(notes, fmt.Sprintf("conversations are written by the template %q, not by the "+
			"model's own", template.Name))
	}
	if warning := m.Tokenizer.Rebuilt(m.Config.Family); warning != "" {
		notes = append(notes, warning)
	}
	if m.template.WritesDate() && !trained {
		notes = append(notes, fmt.Sprintf("the chat template writes the date: it writes %s; -date or "+
			"model.date sets another", template.Date))
	}
	if m.Meta.Read == encode.ReadEnd {
		notes = append(notes, "rewards are read at the token that ends the turn, which is not where "+
			"transformers reads them")
	}
	return notes
}

// EncoderWith returns the model's encoder with further template variables, for requests that set
// some.
func (m *Model) EncoderWith(args map[string]json.RawMessage) (*encode.Encoder, error) {
	if len(args) == 0 {
		return m.Encoder, nil
	}
	all := map[string]json.RawMessage{}
	for _, some := range []map[string]json.RawMessage{m.Meta.Template.Args, args} {
		for name, value := range some {
			all[name] = value
		}
	}
	tpl, err := m.template.With(all)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	e, err := encode.New(m.Tokenizer, tpl, m.encoding)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	return e, nil
}

// chooseTemplate finds the chat template that the options name, else the one that was saved.
func chooseTemplate(
	tok *tokenizer.Tokenizer, opt ChatOptions, saved TemplateMeta, trains bool,
) (*chat.Template, TemplateMeta, error) {
	bos, _, _ := tok.Special("bos_token")
	eos, _, _ := tok.Special("eos_token")
	meta := TemplateMeta{Name: opt.Template, Args: opt.Args, Date: opt.Date}
	if opt.Template == "" || opt.Template == "auto" {
		meta.Name, meta.Source = saved.Name, saved.Source
	}
	if opt.Args == nil {
		meta.Args = saved.Args
	}
	var tpl *chat.Template
	var err error
	switch {
	case meta.Source != "":
		tpl, err = chat.For(tok, meta.Source)
	case meta.Name == "" || meta.Name == "auto":
		meta.Name = "model"
		if tpl, err = chat.Of(tok); errors.Is(err, chat.ErrNoTemplate) {
			meta.Name = "plain"
			tpl, err = chat.Named(meta.Name, bos, eos)
		}
	case meta.Name == "model":
		tpl, err = chat.Of(tok)
	default: // a built-in name, else a file
		if tpl, err = chat.Named(meta.Name, bos, eos); err != nil {
			if source, readErr := wholefile.Read(meta.Name, wholefile.Settings); readErr == nil {
				meta.Source = string(source)
				tpl, err = chat.For(tok, meta.Source)
			}
		}
	}
	for name := range opt.Args {
		if err == nil && !tpl.Reads(name) {
			err = fmt.Errorf("it reads no variable %q, so the argument would have no effect", name)
		}
	}
	if err == nil {
		tpl, err = tpl.With(meta.Args)
	}
	if err != nil {
		return nil, meta, fmt.Errorf("reward: chat template %q: %w", meta.Name, err)
	}
	meta.Hash = tpl.Hash()
	unchanged := meta.Name == saved.Name && opt.Args == nil
	if saved.Hash != "" && unchanged && meta.Hash != saved.Hash {
		return nil, meta, fmt.Errorf("reward: the chat template %q is not the one that the model was "+
			"trained with: restore the tokenizer's files, or name another template", meta.Name)
	}
	if !tpl.MentionsDate() {
		meta.Date = ""
		return tpl, meta, nil
	}
	for _, date := range []string{saved.Date, DefaultDate} {
		if meta.Date == "" {
			meta.Date = date
		}
		if trains && meta.Date == "" {
			meta.Date = today()
		}
	}
	day, err := time.Parse(dateForm, meta.Date)
	if err != nil {
		return nil, meta, fmt.Errorf("reward: chat template %q: its date is %q, want a day such as %s",
			meta.Name, meta.Date, DefaultDate)
	}
	return tpl.At(day), meta, nil
}

// today is the day now, or that of SOURCE_DATE_EPOCH, by which runs are repeated exactly.
func today() string {
	if seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(seconds, 0).UTC().Format(dateForm)
	}
	return time.Now().Format(dateForm)
}

// choosePad chooses the padding token of a model to be trained. transformers reads the reward at
// the last token that is not padding, so the token with which conversations end is the last choice:
// the base's own, else the tokenizer's, the unknown or the beginning one. Where the tokenizer has
// no other, as GPT-2's, it is the end token, and the reward is read at the token before it, in haf
// as in transformers.
func (m *Model) choosePad() int32 {
	last := int32(-1)
	if closers := m.Encoder.Closers(); len(closers) > 0 {
		last = closers[len(closers)-1]
	}
	candidates := []int32{int32(m.Config.PAD)}
	for _, name := range []string{"pad_token", "unk_token", "bos_token", "eos_token"} {
		if _, id, ok := m.Tokenizer.Special(name); ok {
			candidates = append(candidates, id)
		}
	}
	for _, id := range candidates {
		// a token that the embedding lacks pads no batch
		if id >= 0 && id != last && int(id) < m.Config.Vocab {
			return id
		}
	}
	return last
}
