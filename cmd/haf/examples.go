package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// examples end the help of the verbs, and stand in docs/reference/commands.md.
var examples = map[string]string{
	"demo":  "haf demo -out demo",
	"setup": "haf setup -cuda",
	"init":  "haf init pairs.jsonl HuggingFaceTB/SmolLM2-135M-Instruct -out mine.toml",
	"train": `haf train hh-helpful -out runs/hh -set train.lr=1e-4
haf train -resume runs/hh`,
	"eval": `haf eval runs/hh -data test.jsonl -details
haf eval runs/a runs/b -suite rewardbench`,
	"score":   `haf score runs/hh -prompt "How do I poach an egg?" -response "Simmer it for three minutes."`,
	"explain": `haf explain runs/hh -prompt "Is the sky green?" -response "No." -response "Yes, always."`,
	"serve":   "haf serve runs/hh -addr localhost:8080",
	"data":    "haf data train.jsonl test.jsonl -model HuggingFaceTB/SmolLM2-135M-Instruct",
	"bench":   "haf bench HuggingFaceTB/SmolLM2-135M-Instruct -data pairs.jsonl",
	"merge": `haf merge runs/hh -out merged
haf merge -average runs/a runs/b -out averaged`,
	"ui":      "haf ui runs/a runs/b",
	"track":   "haf track runs/hh -to tensorboard",
	"push":    "haf push runs/hh org/name -private -dry-run",
	"report":  "haf report runs/a runs/b -out page",
	"paper":   "haf paper paper-tiny -plan",
	"compare": "haf compare pairs.jsonl HuggingFaceTB/SmolLM2-135M-Instruct -time 2h",
	"combine": "haf combine runs/hh",
	"generate": `haf generate runs/hh -prompts prompts.jsonl -n 4 -out samples.jsonl
haf generate -url http://localhost:8000/v1 -prompts prompts.jsonl -out samples.jsonl`,
	"rank":       "haf rank runs/hh -samples samples.jsonl -out ranked.jsonl -report page",
	"judge":      "haf judge a.jsonl b.jsonl -gold org/reward-model -out verdicts.jsonl",
	"relabel":    "haf relabel runs/hh -data pairs.jsonl -out labelled.jsonl",
	"rlhf":       "haf rlhf rlhf-small -out runs/ppo -set rlhf.rewards=runs/hh",
	"export":     "haf export -policy runs/hh -out policy",
	"recipes":    "haf recipes hh-helpful",
	"version":    "haf -json version",
	"completion": `eval "$(haf completion bash)"`,
	"doctor":     "haf doctor runs/hh",
	"inspect":    "haf inspect runs/hh",
}

// helpWithExample prints kong's help and, below that of a verb, its examples.
func helpWithExample(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	verb := ctx.Selected()
	if verb == nil || examples[verb.Name] == "" {
		return nil
	}
	_, err := fmt.Fprintf(ctx.Stdout, "\nExample:\n  %s\n",
		strings.ReplaceAll(examples[verb.Name], "\n", "\n  "))
	return err
}
