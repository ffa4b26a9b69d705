package pref

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Columns that belong to a conversation whatever the row's format: a system message, tools, and
// what haf cannot read.

// systemKeys are columns that hold a system message.
var systemKeys = []string{"system", "system_prompt"}

// mediaKeys are columns that hold what is no text.
var mediaKeys = []string{"image", "images", "video", "videos", "audio", "audios",
	"rejected_image", "rejected_images", "rejected_videos", "rejected_audios"}

// imageMark stands in a text for an image.
const imageMark = "<image>"

// checkText refuses rows of images and other media.
func (f *fields) checkText() error {
	for _, key := range mediaKeys {
		if raw, ok := f.values[key]; ok && !emptyValue(raw) {
			return notText(key, "%s", kind(raw))
		}
	}
	if raw, ok := f.values["chat_template_kwargs"]; ok && !emptyValue(raw) {
		return wrong("chat_template_kwargs", "variables of the template for one row, want one set for "+
			"all: set model.template_args (-template-arg), or leave the column out")
	}
	return nil
}

// context puts the row's input, system message and tools on a prompt, and looks into its texts.
func (f *fields) context(prompt []Message) ([]Message, error) {
	prompt, err := f.join(prompt)
	if err != nil {
		return nil, err
	}
	system, key, err := f.system()
	if err != nil {
		return nil, err
	}
	tools, err := f.tools()
	if err != nil {
		return nil, err
	}
	if len(prompt) > 0 && system != "" {
		switch first := prompt[0]; {
		case first.Role != System:
			prompt = slices.Concat([]Message{{Role: System, Content: system}}, prompt)
		case strings.TrimSpace(first.Content) != strings.TrimSpace(system):
			return nil, wrong(f.name(key), "%s stands beside another system message in the prompt, "+
				"want one of them", quote(system))
		}
	}
	if len(prompt) > 0 && tools != "" {
		prompt = slices.Clone(prompt)
		if prompt[0].Tools != "" && prompt[0].Tools != tools {
			return nil, wrong(f.name("tools"), "stands beside other tools in the prompt, want one of them")
		}
		prompt[0].Tools = tools
	}
	return prompt, f.look(prompt)
}

// look refuses marks of images in the prompt, and notes those of chat templates.
func (f *fields) look(prompt []Message) error {
	for i, m := range prompt {
		if strings.Contains(m.Content, imageMark) {
			return notText("prompt", "message %d has the mark %s of an image", i, imageMark)
		}
		f.row.look(m.Content)
	}
	return nil
}

// system returns the system message of a column of its own, and the column.
func (f *fields) system() (text, key string, err error) {
	for _, key := range systemKeys {
		if text, err = f.optional(key); err != nil || !blank(text) {
			return text, key, err
		}
	}
	return "", "", nil
}

// tools returns the tools of a row: a list, or its JSON as text, as data sets keep it.
func (f *fields) tools() (string, error) {
	raw, _ := f.opt("tools")
	return ParseTools(raw, f.name("tools"))
}

// ParseTools decodes a list of tools, or its JSON as text, as [Message.Tools] is; "" where there
// are none. field names it in errors.
func ParseTools(raw json.RawMessage, field string) (string, error) {
	if emptyValue(raw) {
		return "", nil
	}
	if isText(raw) {
		text, err := textOf(raw, field)
		if err != nil || blank(text) {
			return "", err
		}
		if raw = json.RawMessage(text); !json.Valid(raw) {
			return "", wrong(field, "%s, want a list of tools, or its JSON as text", quote(text))
		}
		if emptyValue(raw) {
			return "", nil
		}
	}
	list, err := listOf(raw, field, "tools")
	if err != nil {
		return "", err
	}
	for i, tool := range list {
		if kind(tool) != "an object" {
			return "", wrong(fmt.Sprintf("%s[%d]", field, i), "%s, want an object that describes a tool",
				kind(tool))
		}
	}
	return compact(raw, field)
}

// templateMarks are what chat templates write between turns. A prompt that holds one was rendered
// before, and is rendered again.
var templateMarks = []string{"<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "<<SYS>>",
	"<|start_header_id|>", "<|eot_id|>", "<|begin_of_text|>", "<|endoftext|>", "<start_of_turn>",
	"<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|start|>", "<|message|>",
	"### Instruction:", "### Human:", "\n\nHuman:", "\n\nAssistant:"}

// look notes the marks of chat templates in a text of the prompt.
func (r *reading) look(text string) {
	if !strings.ContainsAny(text, "<[#") && !strings.Contains(text, "\n\n") {
		return
	}
	for _, mark := range templateMarks {
		if strings.Contains(text, mark) && !slices.Contains(r.marks, mark) {
			r.marks = append(r.marks, mark)
		}
	}
}
