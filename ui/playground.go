package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"haf/pref"
)

// mostAnswers is the largest number of responses in the playground.
const mostAnswers = 6

// playground is the page for typing conversations and responses. With fragment it is the rewards
// only.
func (a *App) playground(w http.ResponseWriter, r *http.Request) {
	list := a.modelList()
	body := map[string]any{"Models": list, "Answers": []string{"", ""}, "Conversation": ""}
	asked := []string{}
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			a.fail(w, r, http.StatusBadRequest, fmt.Errorf("the form cannot be read: %w", err))
			return
		}
		asked = r.PostForm["model"]
	}
	names := chosenModels(list, asked, "")
	body["Chosen"] = names
	if r.Method == http.MethodPost {
		conversation, answers := r.PostFormValue("conversation"), r.PostForm["answer"]
		answers = answers[:min(len(answers), mostAnswers)]
		body["Conversation"], body["Answers"] = conversation, answers
		samples, labels, err := typed(conversation, answers)
		if err != nil {
			body["Hint"] = a.said(err)
		} else {
			body["Explained"], body["Labels"] = a.explain(r.Context(), names, samples), labels
		}
	}
	if r.PostFormValue("fragment") != "" {
		a.write(w, r, "played", body)
		return
	}
	a.render(w, r, "playground", "Playground", body)
}

// typed makes samples of the typed text. It leaves out empty responses.
func typed(conversation string, answers []string) (samples []pref.Sample, labels []string,
	err error) {
	prompt := parseTurns(conversation)
	if len(prompt) == 0 {
		return nil, nil, errors.New("type a conversation, such as a question")
	}
	if prompt[len(prompt)-1].Role == pref.Assistant {
		return nil, nil, errors.New("the conversation ends with the assistant: its next answer belongs " +
			"into a field for answers, so end with a turn of the user")
	}
	for i, answer := range answers {
		answer = strings.ReplaceAll(answer, "\r\n", "\n")
		if strings.TrimSpace(answer) == "" {
			continue
		}
		samples = append(samples, pref.Sample{Prompt: prompt, Response: answer})
		labels = append(labels, "answer "+string(rune('A'+i)))
	}
	if len(samples) == 0 {
		return nil, nil, errors.New("type an answer")
	}
	return samples, labels, nil
}

// turns are the beginnings of lines that start a turn.
var turns = []struct{ prefix, role string }{
	{"System:", "system"}, {"User:", pref.User}, {"Assistant:", pref.Assistant},
}

// parseTurns reads a conversation. A line that begins with System:, User: or Assistant: starts a
// turn; text before the first belongs to the user.
func parseTurns(text string) (messages []pref.Message) {
	role, lines := pref.User, []string{}
	end := func() {
		if content := strings.TrimSpace(strings.Join(lines, "\n")); content != "" {
			messages = append(messages, pref.Message{Role: role, Content: content})
		}
		lines = nil
	}
	for _, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		for _, t := range turns {
			if rest, ok := strings.CutPrefix(line, t.prefix); ok {
				end()
				role, line = t.role, rest
				break
			}
		}
		lines = append(lines, line)
	}
	end()
	return messages
}
