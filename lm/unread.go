package lm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"haf/weights"
)

// rotaryBuffer matches the rotary frequencies that older releases of transformers saved. They
// follow from config.json, and transformers ignores them in every family.
var rotaryBuffer = regexp.MustCompile(`(^|\.)rotary_emb\.inv_freq$`)

// visionParts begin the names of the tensors beside the text model of a Gemma 3.
var visionParts = []string{"vision_tower.", "multi_modal_projector."}

// buffer reports whether transformers ignores a tensor of this family's checkpoints: it is a mask
// or a constant that older releases saved (_keys_to_ignore_on_load_unexpected), not a weight.
func (c *Config) buffer(name string) bool {
	if c.family().rotary() && rotaryBuffer.MatchString(name) {
		return true
	}
	for _, ending := range c.family().buffers {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return c.Nested && slices.ContainsFunc(visionParts, func(part string) bool {
		return strings.HasPrefix(strings.TrimPrefix(name, c.family().names.prefix), part)
	})
}

// Unread describes the tensors of a checkpoint that are no weights of the model, sorted by name. It
// leaves out tensors that transformers ignores: buffers, the vision part of a Gemma 3, and a policy
// head that config.json ties to the embedding. Score heads are included, because they have many
// names.
func Unread(ck *weights.Tensors, c *Config) []weights.Info {
	read := map[string]bool{}
	for _, p := range Params(c) {
		for _, name := range c.aliases(p.Name) {
			if _, ok := ck.Info(name); ok {
				read[name] = true
				break // a second name of the weight would be ambiguous
			}
		}
	}
	if c.TiedEmbeddings {
		for _, name := range c.aliases(OwnOutputWeight(c)) {
			read[name] = true
		}
	}
	var unread []weights.Info
	for _, name := range ck.Names() {
		if !read[name] && !c.buffer(name) {
			info, _ := ck.Info(name)
			unread = append(unread, info)
		}
	}
	return unread
}

// quantizedTypes are the dtypes in which quantized weights are stored.
var quantizedTypes = []string{
	"U8", "I8", "I32", "F4", "F6_E2M3", "F6_E3M2",
	"F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
}

// CheckQuantized returns an error if a safetensors checkpoint holds quantized weights. config.json
// does not decide, because a quantization_config may be left over from a base.
func CheckQuantized(ck *weights.Tensors, c *Config) error {
	for _, name := range ck.Names() {
		info, _ := ck.Info(name)
		if c.buffer(name) || !slices.Contains(quantizedTypes, info.DType) {
			continue
		}
		method := "its config.json does not say how"
		var settings struct {
			Method string `json:"quant_method"`
		}
		if json.Unmarshal(c.Raw["quantization_config"], &settings) == nil && settings.Method != "" {
			method = fmt.Sprintf("quant_method %q", settings.Method)
		}
		return fmt.Errorf("lm: %s: %s has dtype %s: the model is quantized (%s), which haf does "+
			"not "+
			"read: open the model that it was made from, or load it with transformers, "+
			"call dequantize() and save_pretrained(), and open the result", info.File, name,
			info.DType, method)
	}
	return nil
}

// CheckTied returns an error if config.json ties the policy head to the embedding, but the
// checkpoint holds a policy head of other values. transformers 4 would use the embedding,
// transformers 5 the stored head. It reads both tensors if there are two.
func CheckTied(ck *weights.Tensors, c *Config) error {
	if !c.TiedEmbeddings {
		return nil
	}
	embedding, err := ReadInfo(ck, c, OutputWeight(c))
	if err != nil {
		return nil // the embedding is missing, which its reader reports
	}
	output, err := ReadInfo(ck, c, OwnOutputWeight(c))
	if err != nil {
		return nil
	}
	same, err := ck.SameValues(embedding.Name, ck, output.Name)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("lm: %s: config.json has tie_word_embeddings true, but %s differs from "+
			"%s: "+
			"set tie_word_embeddings to false if the model has its own policy head, else remove %s",
			output.File, output.Name, embedding.Name, output.Name)
	}
	return nil
}
