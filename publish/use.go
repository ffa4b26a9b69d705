package publish

import (
	"fmt"
	"strings"
)

const conversations = `conversations = [[{"role": "user", "content": "How do I poach an egg?"},
                  {"role": "assistant", "content": "Simmer it for three minutes."}]]
`

const readInputs = `inputs = tokenizer.apply_chat_template(
    conversations, tokenize=True, padding=True, return_dict=True, return_tensors="pt")
`

// use returns the code that reads the model in transformers, or haf's commands if transformers
// cannot read it.
func (f facts) use(id string) string {
	named := id
	if named == "" {
		named = "PATH_OR_ID"
	}
	var b strings.Builder
	switch {
	case f.policy():
		fmt.Fprintf(&b, "`haf export` writes the policy as a causal language model:\n\n"+
			"```sh\nhaf export -policy %s -out policy\n```\n", named)
		return b.String()
	case f.causal():
		fmt.Fprintf(&b, "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"+
			"MODEL = %q\ntokenizer = AutoTokenizer.from_pretrained(MODEL)\n"+
			"model = AutoModelForCausalLM.from_pretrained(MODEL, "+
			"dtype=\"float32\").eval()\n```\n", named)
		return b.String()
	}
	if !f.adapter && !strings.HasSuffix(f.class, "ForSequenceClassification") || !f.scored() {
		b.WriteString("haf reads its rewards:\n\n")
	} else {
		b.WriteString("```python\n" + f.reader(named) + "```\n\nOr with haf:\n\n")
	}
	fmt.Fprintf(&b, "```sh\nhaf score %s -prompt \"How do I poach an egg?\" \\\n"+
		"    -response \"Simmer it for three minutes.\"\n```\n", named)
	return b.String()
}

// reader returns the Python code.
func (f facts) reader(named string) string {
	var b strings.Builder
	if f.adapter {
		fmt.Fprintf(&b, "from peft import AutoPeftModelForSequenceClassification\n"+
			"from transformers import AutoTokenizer\nMODEL = %q\n%s"+
			"tokenizer = AutoTokenizer.from_pretrained(MODEL)\n"+
			"model = AutoPeftModelForSequenceClassification.from_pretrained(\n"+
			"    MODEL, num_labels=%d).eval()\n"+
			"model.config.pad_token_id = tokenizer.pad_token_id\n", named, conversations,
			max(1, len(f.meta.Labels)))
	} else {
		fmt.Fprintf(&b, "from transformers import AutoModelForSequenceClassification, "+
			"AutoTokenizer\n"+
			"MODEL = %q\n%stokenizer = AutoTokenizer.from_pretrained(MODEL)\n"+
			"model = AutoModelForSequenceClassification.from_pretrained(MODEL, "+
			"dtype=\"float32\").eval()\n",
			named, conversations)
	}
	b.WriteString(readInputs)
	switch {
	case len(f.meta.Labels) > 1:
		b.WriteString("rewards = model(**inputs).logits  # " + plain(strings.Join(f.meta.Labels,
			", ")) + "\n")
	case f.meta.ScoreOffset != 0:
		fmt.Fprintf(&b, "rewards = model(**inputs).logits[:, 0] + %v\n", f.meta.ScoreOffset)
	default:
		b.WriteString("rewards = model(**inputs).logits[:, 0]\n")
	}
	return b.String()
}
