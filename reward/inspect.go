package reward

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"haf/chat"
	"haf/encode"
	"haf/lm"
	"haf/pref"
	"haf/tokenizer"
	"haf/weights"
)

// An Inspection describes a model from the headers of its files and the values of its score head.
type Inspection struct {
	Path         string `json:"path"`
	Form         string `json:"form"` // "folder", "adapter" or "GGUF"
	Family       string `json:"family"`
	Architecture string `json:"architecture"` // of config.json
	// of backbone, policy head, adapter and score head
	Parameters  int              `json:"parameters"`
	Layers      int              `json:"layers"`
	Hidden      int              `json:"hidden"`
	FeedForward int              `json:"feed_forward"`
	Heads       int              `json:"heads"`
	KVHeads     int              `json:"kv_heads"`
	Vocabulary  int              `json:"vocabulary"` // rows of the embedding
	Context     int              `json:"context"`    // positions
	PolicyHead  string           `json:"policy_head"`
	ScoreHead   HeadInspection   `json:"score_head"`
	Adapter     *AdapterFacts    `json:"adapter,omitempty"`
	DTypes      map[string]int64 `json:"dtypes"` // bytes on disk
	Tokenizer   *TokenizerFacts  `json:"tokenizer,omitempty"`
	Trained     *Meta            `json:"trained,omitempty"` // haf.json
	// Stripped is the prefix of the tensors' names from torch.compile or DistributedDataParallel.
	Stripped string `json:"stripped_prefix,omitempty"`
	// Unread are the tensors that are neither weights nor a score head. haf does not open such a
	// model.
	Unread   []TensorFacts `json:"unread_tensors,omitempty"`
	Warnings []string      `json:"warnings"`
}

// TensorFacts describe a tensor on disk.
type TensorFacts struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	File  string `json:"file"`
}

func tensorFacts(infos []weights.Info) []TensorFacts {
	var facts []TensorFacts
	for _, info := range infos {
		facts = append(facts, TensorFacts{info.Name, info.DType, info.Shape, info.File})
	}
	return facts
}

// A HeadInspection describes a score head.
type HeadInspection struct {
	Kind   string `json:"kind"`             // "none", "linear", "MLP", "labels"
	Labels int    `json:"labels,omitempty"` // if there are several
	// LabelNames are the names of the labels in config.json, by index.
	LabelNames []string `json:"label_names,omitempty"`
	Zero       bool     `json:"zero,omitempty"`
	Offset     float64  `json:"offset,omitempty"`
	Normalized string   `json:"normalized,omitempty"`
	Source     string   `json:"source,omitempty"` // its tensor, and the file
}

// AdapterFacts describe a PEFT adapter.
type AdapterFacts struct {
	Kind       string   `json:"kind"` // "LoRA", "rsLoRA" or "DoRA"
	Rank       int      `json:"rank"`
	Alpha      float64  `json:"alpha"`
	Modules    int      `json:"modules"` // adapted linear layers
	Targets    []string `json:"targets"`
	Ranks      []int    `json:"ranks,omitempty"` // if rank_pattern gives several
	Base       string   `json:"base"`
	Parameters int      `json:"parameters"`
	// Own are the adapter's weights that replace its base's: embedding and policy head.
	Own []TensorFacts `json:"own_weights,omitempty"`
	// ScoreLoRA means that the score head is the base's with a LoRA of the adapter.
	ScoreLoRA bool   `json:"score_lora,omitempty"`
	Stripped  string `json:"stripped_prefix,omitempty"` // of the adapter's tensors
}

// TokenizerFacts describe a tokenizer and its chat template.
type TokenizerFacts struct {
	Kind     string                  `json:"kind"`
	Size     int                     `json:"size"`    // largest id + 1
	Special  map[string]SpecialToken `json:"special"` // by name: bos_token, …
	Template string                  `json:"template"`
	// TemplateSource is the origin of the template: a file, GGUF metadata, or haf.
	TemplateSource   string `json:"template_source"`
	GenerationPrompt bool   `json:"generation_prompt"` // the template has a generation prompt
	// the token of a conversation's end at which the reward is read
	ReadAt string `json:"read_at"`
	Date   string `json:"date,omitempty"` // that the template writes
}

// A SpecialToken is a named token.
type SpecialToken struct {
	Token string `json:"token"`
	ID    int32  `json:"id"`
}

// Inspect describes a model without opening a device or reading its weights. Its warnings name
// everything that prevents opening the model, and unexpected ways of scoring. It returns an error
// only if nothing can be described.
func Inspect(path string, opt ChatOptions) (*Inspection, error) {
	src, err := find(path, "")
	if err != nil {
		return nil, err
	}
	config, err := lm.LoadConfig(src.base)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	if err := nameLabels(config, src.meta.Labels); err != nil {
		return nil, err
	}
	ck, twoSets := weights.Open(src.base)
	if errors.Is(twoSets, weights.ErrTwoSets) {
		ck, err = weights.OpenSingle(src.base)
	} else {
		err, twoSets = twoSets, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	defer ck.Close()
	in := &Inspection{
		Path: src.dir, Form: "folder", Family: config.Family,
		Architecture: strings.Join(config.Architectures, ", "), Layers: config.Layers,
		Hidden: config.Hidden, FeedForward: config.FeedForward, Heads: config.Heads,
		KVHeads: config.KVHeads, Vocabulary: config.Vocab,
		Context: config.MaxPositions, DTypes: map[string]int64{}, Warnings: []string{},
		Stripped: ck.Stripped(),
	}
	if twoSets != nil {
		in.cannot(twoSets)
	}
	if weights.IsGGUF(src.dir) {
		in.Form = "GGUF"
	}
	if src.meta.Format > 0 {
		in.Trained = &src.meta
	}
	if err := checkClass(config, src.base); err != nil {
		in.cannot(err)
	}
	if err := checkTensors(ck, config); err != nil {
		in.cannot(err)
	}
	if unread, err := unreadTensors(ck, config); err == nil {
		in.Unread = tensorFacts(unread)
	}
	head, err := findHead(ck, src.base, "", config)
	if err != nil {
		in.ScoreHead.Kind = "labels"
		in.cannot(err)
	}
	known := err == nil
	if src.adapter != nil {
		in.Form = "adapter"
		adapter, err := src.adapter.open()
		if err != nil {
			return nil, err
		}
		defer adapter.Close()
		if head, err = in.adapter(src, adapter, config, head); err != nil {
			in.cannot(err)
		}
		known = err == nil
	}
	in.weights(ck, config)
	if known {
		in.score(src, head, config)
	}
	in.tokens(src, config, opt)
	return in, nil
}

func (in *Inspection) warn(format string, args ...any) {
	in.Warnings = append(in.Warnings, fmt.Sprintf(format, args...))
}

// cannot warns of what keeps the model from being opened.
func (in *Inspection) cannot(err error) {
	in.warn("cannot be opened: %s", strings.TrimPrefix(err.Error(), "reward: "))
}

// weights counts the parameters, compares the tensors with what the configuration wants, and finds
// the policy head.
func (in *Inspection) weights(ck *weights.Tensors, c *lm.Config) {
	for _, name := range ck.Names() {
		info, _ := ck.Info(name)
		in.DTypes[info.DType] += info.Bytes
	}
	_, err := lm.ReadInfo(ck, c, lm.OwnOutputWeight(c))
	untied := err == nil
	switch own := in.PolicyHead != ""; {
	case own: // the adapter's
	case c.TiedEmbeddings:
		in.PolicyHead = "tied to the embedding"
	case untied:
		in.PolicyHead = "untied"
	default:
		in.PolicyHead = "absent"
	}
	wrong, output := 0, lm.OutputParams(c)
	for _, p := range lm.Params(c) {
		info, err := lm.ReadInfo(ck, c, p.Name)
		ok := err == nil
		if !ok && slices.ContainsFunc(output, func(o lm.Param) bool { return o.Name == p.Name }) {
			continue
		}
		in.Parameters += p.Size()
		if ok && slices.Equal(info.Shape, p.Shape) {
			continue
		}
		if wrong++; wrong > 3 {
			continue
		}
		if !ok {
			in.warn("cannot be opened: %s is missing among the weights", p.Name)
		} else {
			in.warn("cannot be opened: %s has shape %v, config.json wants %v", p.Name, info.Shape, p.Shape)
		}
	}
	if wrong > 3 {
		in.warn("cannot be opened: %d more weights are missing or of another shape", wrong-3)
	}
	stored := map[string]string{"float32": "F32", "bfloat16": "BF16", "float16": "F16"}[c.DType]
	if main := in.MainDType(); stored != "" && main != stored && in.Form != "GGUF" {
		in.warn("config.json says %s, but most weights are stored as %s", c.DType, main)
	}
}

// MainDType is the dtype of most bytes of the weights.
func (in *Inspection) MainDType() string {
	types := slices.Sorted(maps.Keys(in.DTypes))
	if len(types) == 0 {
		return ""
	}
	return slices.MaxFunc(
		types, func(a, b string) int { return cmp.Compare(in.DTypes[a], in.DTypes[b]) })
}

// adapter describes the adapter, and returns the score head of the adapted model; base is that of
// its base.
func (in *Inspection) adapter(src *source, ck *weights.Tensors, c *lm.Config,
	base *scoreHead) (*scoreHead, error) {
	config := src.adapter.config
	facts := &AdapterFacts{Kind: "LoRA", Rank: config.Rank, Alpha: config.Alpha, Base: src.base,
		Stripped: ck.Stripped()}
	switch {
	case config.DoRA:
		facts.Kind = "DoRA"
	case config.RSLoRA:
		facts.Kind = "rsLoRA"
	}
	in.Adapter = facts
	parts, head, err := src.readAdapter(ck, c, base)
	if err != nil {
		return nil, err
	}
	facts.Modules, facts.ScoreLoRA = len(parts.modules), parts.head != nil
	for path, m := range parts.modules {
		if kind := path[strings.LastIndexByte(path, '.')+1:]; !slices.Contains(facts.Targets, kind) {
			facts.Targets = append(facts.Targets, kind)
		}
		if !slices.Contains(facts.Ranks, m.rank) {
			facts.Ranks = append(facts.Ranks, m.rank)
		}
	}
	slices.Sort(facts.Targets)
	if slices.Sort(facts.Ranks); len(facts.Ranks) == 1 {
		facts.Ranks = nil
	}
	for _, name := range ck.Names() {
		info, _ := ck.Info(name)
		if strings.Contains(name, ".lora_") {
			facts.Parameters += lm.Param{Shape: info.Shape}.Size()
		}
	}
	in.Parameters += facts.Parameters
	adapted := &Model{Config: c, HasPolicyHead: true}
	if err := adapted.adoptOwn(parts.own, ck, head != nil); err != nil {
		return nil, err
	}
	in.Vocabulary = adapted.Config.Vocab
	for _, name := range slices.Sorted(maps.Keys(adapted.own)) {
		info, _ := ck.Info(adapterPrefix + adapted.own[name])
		facts.Own = append(facts.Own, tensorFacts([]weights.Info{info})...)
	}
	switch {
	case adapted.own[lm.OwnOutputWeight(c)] != "":
		in.PolicyHead = "the adapter's own"
	case !adapted.HasPolicyHead:
		in.PolicyHead = "absent: the adapter's embedding has other rows than the base's policy head"
	}
	return head, nil
}

// score describes the score head, nil for none.
func (in *Inspection) score(src *source, h *scoreHead, c *lm.Config) {
	in.ScoreHead.Kind = "none"
	if h == nil {
		if isClassifier(c) {
			in.warn("cannot be opened: config.json promises a score head, but there is none among " +
				"the weights")
		}
		return
	}
	in.ScoreHead.Kind = "linear"
	if h.layers > 0 {
		in.ScoreHead.Kind = "MLP"
	}
	for _, a := range h.arrays {
		in.Parameters += len(a.Data)
		if err := checkFinite(a); err != nil {
			in.cannot(err)
		}
	}
	column, several := "", h.labels > 1
	if several {
		names := labelNames(c, h.labels)
		in.ScoreHead.Kind, in.ScoreHead.Labels, in.ScoreHead.LabelNames = "labels", h.labels, names
		in.warn("its head has %d labels: say which is the reward, such as %s", h.labels,
			columnExample(h.labels, names))
		column = "0" // any: what is not a label's own is the same for all
	}
	if err := h.finish(c, column); err != nil {
		in.cannot(err)
		return
	}
	in.ScoreHead.Source, in.ScoreHead.Normalized = h.source, h.fold
	if several {
		return
	}
	in.ScoreHead.Offset = cmp.Or(h.offset, src.meta.ScoreOffset)
	if in.ScoreHead.Zero = h.zero(); in.ScoreHead.Zero {
		in.warn("the score head is zero: it was never trained, every score is the same")
	}
}

// tokens describes the tokenizer and the template.
func (in *Inspection) tokens(src *source, c *lm.Config, opt ChatOptions) {
	tok, err := src.tokenizer()
	if err != nil {
		in.cannot(err)
		return
	}
	facts := &TokenizerFacts{Kind: tok.Kind(), Size: tok.Size(), Special: map[string]SpecialToken{}}
	in.Tokenizer = facts
	for _, name := range []string{"bos_token", "eos_token", "pad_token", "unk_token", "cls_token",
		"sep_token", "mask_token"} {
		if token, id, ok := tok.Special(name); ok {
			facts.Special[name] = SpecialToken{token, id}
		}
	}
	const spare = 1024 // embeddings are rounded up to a multiple of some power of two
	switch {
	case tok.Size() > in.Vocabulary:
		in.warn("the tokenizer has ids up to %d, the embedding only %d rows: a text with one of "+
			"the ids beyond them is refused", tok.Size()-1, in.Vocabulary)
	case in.Vocabulary-tok.Size() > spare:
		in.warn("the embedding has %d rows, the tokenizer only %d ids: do they belong together?",
			in.Vocabulary, tok.Size())
	}
	if warning := tok.Rebuilt(c.Family); warning != "" {
		in.warn("%s", warning)
	}
	if _, ok := facts.Special["eos_token"]; !ok {
		in.warn("the tokenizer names no end token")
	}
	in.template(src, tok, c, opt)
}

// template describes the chat template that the model would be opened with.
func (in *Inspection) template(
	src *source, tok *tokenizer.Tokenizer, c *lm.Config, opt ChatOptions,
) {
	facts := in.Tokenizer
	tpl, meta, err := chooseTemplate(tok, opt, src.meta.Template, false)
	if err != nil {
		in.cannot(err)
		return
	}
	facts.Template, facts.TemplateSource = meta.Name, "haf"
	switch {
	case meta.Source != "":
		facts.TemplateSource = MetaName
	case meta.Name == "model" && in.Form == "GGUF":
		facts.TemplateSource = "tokenizer.chat_template"
	case meta.Name == "model":
		facts.TemplateSource = tok.TemplateFile()
	case src.meta.Template.Name == "":
		in.warn("no chat template: %q is used, which may not be what the model was trained with; name "+
			"one with model.template", meta.Name)
	}
	question := []chat.Message{{Role: "user", Content: "x"}}
	plain, errPlain := tpl.Render(question, false)
	open, errOpen := tpl.Render(question, true)
	if errPlain != nil || errOpen != nil {
		in.warn("the chat template does not render a question: %v", cmp.Or(errPlain, errOpen))
		return
	}
	facts.GenerationPrompt = plain != open
	in.reading(tok, tpl, c, encode.Options{Read: cmp.Or(opt.Read, src.meta.Read),
		BOS: cmp.Or(opt.BOS, src.meta.BOS)})
	bos, ok := facts.Special["bos_token"]
	if added := tok.Encode("", true); ok && len(added) > 0 && added[0] == bos.ID {
		if strings.HasPrefix(open, bos.Token) {
			in.warn("both the template and the tokenizer begin with %s: a program that tokenizes rendered "+
				"text with special tokens doubles it; haf reads it once", bos.Token)
		} else {
			in.warn("the tokenizer begins texts with %s, the template does not write it: haf reads "+
				"conversations without it, as apply_chat_template does; -bos once adds it", bos.Token)
		}
	}
	if facts.Date = meta.Date; meta.Date != "" && src.meta.Template.Date == "" && opt.Date == "" {
		in.warn("the template writes the date: haf takes %s, another program the day on which it runs; "+
			"-date sets another", meta.Date)
	}
}

// reading says where a reward is read, by a conversation of one answer.
func (in *Inspection) reading(
	tok *tokenizer.Tokenizer, tpl *chat.Template, c *lm.Config, opt encode.Options,
) {
	pad := int32(c.PAD)
	if in.Trained != nil && in.Trained.Pad != nil {
		pad = int32(*in.Trained.Pad)
	}
	if pad >= 0 {
		opt.Pad = &pad
	}
	enc, err := encode.New(tok, tpl, opt)
	if err != nil {
		in.cannot(err)
		return
	}
	conversation, _, err := enc.Conversation([]pref.Message{{Role: pref.User, Content: "x"}}, "x")
	if err != nil {
		in.warn("the chat template does not render an answer: %v", err)
		return
	}
	tail := tok.Decode(conversation.Tokens[max(0, len(conversation.Tokens)-3):], false)
	if len(tok.SpecialIn(tail)) == 0 {
		in.warn("the template writes no end token behind an answer: the model does not see where an " +
			"answer ends, and generation does not learn to stop")
	}
	at := conversation.Tokens[conversation.Read]
	facts := in.Tokenizer
	facts.ReadAt = tok.Decode([]int32{at}, false)
	if in.ScoreHead.Kind != "none" && conversation.Read < len(conversation.Tokens)-1 &&
		opt.Read != encode.ReadEnd {
		in.warn("a conversation ends with the padding token %q: its reward is read at the token before, "+
			"as transformers reads it; -read end reads at the end of the turn",
			tok.Decode(conversation.Tokens[conversation.Read+1:], false))
	}
}
