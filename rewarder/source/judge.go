package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"haf/internal/wholefile"
	"haf/pref"
	"haf/remote"
)

// A judge is a language model on a server with OpenAI's chat completions API. The user's prompt
// asks it for a number for one response.

// Marks in a judge's prompt that are replaced by the texts.
const (
	markConversation = "{{conversation}}"
	markResponse     = "{{response}}"
)

// judgeTokens limits the answer of a judge, which may reason first.
const judgeTokens = 1024

// judgeTries is how many times haf asks a judge for a readable number. The first attempt is greedy.
const judgeTries = 3

type judge struct {
	generator pref.Generator
	prompt    string
}

func checkJudge(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is no address of a server, want http://HOST:PORT/v1#MODEL",
			Shown(address))
	}
	if u.RawQuery != "" || u.User != nil {
		return errors.New("the address has a query or a user in it, want " +
			"http://HOST:PORT/v1#MODEL; a key is given in HAF_API_KEY or OPENAI_API_KEY")
	}
	return nil
}

// openJudge reads the prompt and connects to the server.
func openJudge(ctx context.Context, s Source, opt Options) (pref.Rewarder, error) {
	prompt, err := opt.judgePrompt()
	if err != nil {
		return nil, err
	}
	base, model, _ := strings.Cut(s.Address, "#")
	settings := opt.remote(base)
	settings.Key, settings.Model = opt.JudgeKey, model
	client, err := remote.New(ctx, settings)
	if err != nil {
		return nil, err
	}
	j := &judge{remote.Generator{Client: client}, prompt}
	return &single{
		served: "judge+" + base + "#" + client.Model(),
		model: fmt.Sprintf("judge %s, prompt sha256 %x", client.Model(),
			sha256.Sum256([]byte(prompt))),
		score: j.score, progress: opt.Progress,
	}, nil
}

// judgePrompt reads the file of the judge's prompt.
func (opt Options) judgePrompt() (string, error) {
	if opt.JudgePrompt == "" {
		return "", fmt.Errorf("%w: a judge needs a prompt: name a file that has the marks %s and %s "+
			"with -judge-prompt (judge_prompt of rlhf.rewards)", ErrName, markConversation, markResponse)
	}
	data, err := wholefile.Read(opt.JudgePrompt, wholefile.Settings)
	if err != nil {
		return "", fmt.Errorf("the judge's prompt: %w", err)
	}
	for _, mark := range []string{markConversation, markResponse} {
		if !strings.Contains(string(data), mark) {
			return "", fmt.Errorf("the judge's prompt %s has no %s, in whose place the text comes",
				opt.JudgePrompt, mark)
		}
	}
	return string(data), nil
}

// score asks the judge about items. If an answer has no number, it asks again with another seed.
func (j *judge) score(ctx context.Context, items []item, done func(int)) ([]float64, error) {
	out := make([]float64, len(items))
	open := make([]int, len(items))
	for i := range open {
		open[i] = i
	}
	wrote := map[int]string{}
	for try := range judgeTries {
		requests := make([]pref.Request, len(open))
		for k, i := range open {
			requests[k] = pref.Request{
				Prompt:   []pref.Message{{Role: pref.User, Content: j.ask(items[i])}},
				Sampling: pref.Sampling{MaxTokens: judgeTokens, Seed: uint64(try)},
			}
			if try > 0 {
				requests[k].Temperature = 0.7
			}
		}
		var unread []int
		answered := len(items) - len(open)
		err := j.generator.Generate(ctx, requests, func(k int, g pref.Generated) error {
			i := open[k]
			if x, ok := verdict(g.Text); ok {
				out[i] = x
				answered++
				done(answered)
			} else {
				unread, wrote[i] = append(unread, i), g.Text
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if open = unread; len(open) == 0 {
			return out, nil
		}
	}
	first := open[0]
	return nil, fmt.Errorf("the judge gave %d of %d responses no number in %d tries; of response %d "+
		"it wrote last: %q; its prompt should ask for a line such as Score: 7", len(open), len(items),
		judgeTries, first+1, short(wrote[first]))
}

// ask returns the judge's prompt for an item.
func (j *judge) ask(it item) string {
	var conversation strings.Builder
	for _, m := range it.Prompt {
		fmt.Fprintf(&conversation, "[%s]\n%s\n", m.Role, m.Content)
		for _, more := range []string{m.Parts, m.Tools} {
			if more != "" {
				conversation.WriteString(more + "\n")
			}
		}
	}
	return strings.NewReplacer(markConversation, conversation.String(),
		markResponse, it.Response).Replace(j.prompt)
}

const numeral = `[-+]?\d+(?:\.\d+)?`

var (
	// scored matches "Score: 7", "**Rating**: 7/10" and "[[7]]".
	scored = regexp.MustCompile(`(?i)\b(?:score|rating|reward)\b\W{0,6}?(` + numeral + `)|\[\[(` +
		numeral + `)\]\]`)
	// bare matches an answer that is only a number.
	bare = regexp.MustCompile(`^\W*?(` + numeral + `)\W*$`)
)

// verdict returns the last number that a judge states. ok is false if there is none.
func verdict(text string) (x float64, ok bool) {
	found := ""
	if all := scored.FindAllStringSubmatch(text, -1); len(all) > 0 {
		last := all[len(all)-1]
		found = last[1] + last[2]
	} else if m := bare.FindStringSubmatch(strings.TrimSpace(text)); m != nil {
		found = m[1]
	}
	x, err := strconv.ParseFloat(found, 64)
	return x, err == nil && x-x == 0
}
