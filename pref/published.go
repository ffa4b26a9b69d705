package pref

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Readers of the published sets whose rows are one prompt with two responses and a label.

// decodePKU decodes PKU-SafeRLHF and the pairs of BeaverTails: {prompt, response_0, response_1},
// chosen by safer_response_id (where it is missing, or Options.Label is Better, by
// better_response_id). The subset says how many of the two are safe: safe-safe, safe-unsafe,
// unsafe-unsafe. A response id of −1 is a tie.
func decodePKU(f *fields, opt Options) (decoded, error) {
	prompt, err := f.text("prompt")
	if err != nil {
		return decoded{}, err
	}
	var responses [2]string
	for i := range responses {
		if responses[i], err = f.text(fmt.Sprintf("response_%d", i)); err != nil {
			return decoded{}, err
		}
	}
	key := "safer_response_id"
	if opt.Label == Better || opt.Label == "" && !f.has(key) {
		key = "better_response_id"
	}
	id, err := f.number(key)
	if err != nil {
		return decoded{}, err
	}
	v := neither
	switch id {
	case 0:
		v = first
	case 1:
		v = second
	case -1:
	default:
		return decoded{}, wrong(key, "%v, want 0, 1 or -1 (neither)", id)
	}
	d := judged(asked(prompt), said(responses[0]), said(responses[1]), v)
	safe, known := 0, 0
	for i := range responses {
		raw, ok := f.opt(fmt.Sprintf("is_response_%d_safe", i))
		if !ok {
			continue
		}
		yes, err := boolOf(raw, fmt.Sprintf("is_response_%d_safe", i))
		if err != nil {
			return decoded{}, err
		}
		known++
		if yes {
			safe++
		}
	}
	if known == 2 {
		d.group.Subset = [3]string{"unsafe-unsafe", "safe-unsafe", "safe-safe"}[safe]
	}
	return d, nil
}

// decodeArena decodes Chatbot Arena and the human judgements of MT-Bench: two conversations and the
// winner. Where the row names a turn, each conversation is cut to it. Conversations whose earlier
// answers differ have two prompts and are dropped.
func decodeArena(f *fields, _ Options) (decoded, error) {
	var sides [2][]Message
	for i, key := range [2]string{"conversation_a", "conversation_b"} {
		raw, err := f.get(key)
		if err != nil {
			return decoded{}, err
		}
		if sides[i], err = f.messages(raw, f.name(key)); err != nil {
			return decoded{}, err
		}
		if len(sides[i]) == 0 {
			return decoded{}, wrong(key, "an empty list, want messages that end in one of the assistant")
		}
	}
	if f.has("turn") {
		turn, err := f.number("turn")
		if err != nil {
			return decoded{}, err
		}
		for i := range sides {
			if sides[i], err = upToTurn(sides[i], turn); err != nil {
				return decoded{}, err
			}
		}
	}
	winner, err := f.text("winner")
	if err != nil {
		return decoded{}, err
	}
	v := neither
	switch winner {
	case "model_a":
		v = first
	case "model_b":
		v = second
	case "tie", "tie (bothbad)", "both_bad", "bothbad":
	default:
		return decoded{}, wrong("winner", "%s, want model_a, model_b, tie or tie (bothbad)",
			quote(winner))
	}
	d := judged(nil, sides[0], sides[1], v)
	for _, side := range sides {
		if err := textAnswer(side, "conversation_a"); err != nil {
			return decoded{}, err
		}
	}
	d.group.Subset, err = f.label("category", "language")
	return d, err
}

// upToTurn cuts a conversation behind a turn of it, counted from 1: a question and its answer.
func upToTurn(messages []Message, turn float64) ([]Message, error) {
	asked := 0
	for i, m := range messages {
		if m.Role != User {
			continue
		}
		if asked++; asked > int(turn) {
			messages = messages[:i]
			break
		}
	}
	if turn != math.Trunc(turn) || turn < 1 || int(turn) > asked {
		return nil, wrong("turn", "%v, want one of the conversation's turns, 1 to %d", turn, asked)
	}
	return messages, nil
}

// decodeAlpaca decodes AlpacaFarm, AlpacaEval, PandaLM and LLMBar: instruction and input are the
// prompt; preference (LLMBar: label) is 1 or 2, a number between them that leans to one, and 0 or
// 1.5 for a tie. PandaLM's own test file has response1, response2 and three annotators, whose
// majority decides.
func decodeAlpaca(f *fields, _ Options) (decoded, error) {
	instruction, err := f.optional("instruction")
	if err != nil {
		return decoded{}, err
	}
	input, err := f.optional("input")
	if err != nil {
		return decoded{}, err
	}
	prompt := instruction
	switch {
	case blank(instruction):
		prompt = input
	case !blank(input):
		prompt += "\n\n" + input
	}
	keys := [2]string{"output_1", "output_2"}
	if f.has("response1", "response2") {
		keys = [2]string{"response1", "response2"}
	}
	var sides [2][]Message
	for i, key := range keys {
		raw, err := f.get(key)
		if err != nil {
			return decoded{}, err
		}
		text, err := printed(raw, key)
		if err != nil {
			return decoded{}, err
		}
		sides[i] = said(text)
	}
	v, err := alpacaVerdict(f)
	return judged(asked(prompt), sides[0], sides[1], v), err
}

// printed decodes a text. PandaLM has answers "True" and "3" that its publishing turned into a
// boolean and a number.
func printed(raw json.RawMessage, field string) (string, error) {
	switch kind(raw) {
	case "a number":
		return string(raw), nil
	case "a boolean":
		yes, err := boolOf(raw, field)
		if yes {
			return "True", err
		}
		return "False", err
	}
	return textOf(raw, field)
}

func alpacaVerdict(f *fields) (verdict, error) {
	if f.has("annotator1", "annotator2", "annotator3") {
		var votes []verdict
		for i := 1; i <= 3; i++ {
			v, err := verdictOf(f, fmt.Sprintf("annotator%d", i))
			if err != nil {
				return neither, err
			}
			votes = append(votes, v)
		}
		slices.Sort(votes)
		if votes[0] != votes[1] && votes[1] != votes[2] {
			return neither, nil
		}
		return votes[1], nil
	}
	if !f.has("preference") && f.has("label") {
		return verdictOf(f, "label")
	}
	return verdictOf(f, "preference")
}

func verdictOf(f *fields, key string) (verdict, error) {
	x, err := f.number(key)
	switch {
	case err != nil:
		return neither, err
	case x == 0, x == 1.5:
		return neither, nil
	case x >= 1 && x < 1.5:
		return first, nil
	case x > 1.5 && x <= 2:
		return second, nil
	}
	return neither, wrong(key, "%v, want 1, 2 or 0 (a tie)", x)
}

// decodeJudgeBench decodes JudgeBench: {question, response_A, response_B, label "A>B" or "B>A"};
// the subset is the source.
func decodeJudgeBench(f *fields, _ Options) (decoded, error) {
	question, err := f.text("question")
	if err != nil {
		return decoded{}, err
	}
	a, err := f.text("response_A")
	if err != nil {
		return decoded{}, err
	}
	b, err := f.text("response_B")
	if err != nil {
		return decoded{}, err
	}
	label, err := f.text("label")
	if err != nil {
		return decoded{}, err
	}
	v := neither
	switch label {
	case "A>B":
		v = first
	case "B>A":
		v = second
	case "A=B":
	default:
		return decoded{}, wrong("label", `%s, want "A>B", "B>A" or "A=B"`, quote(label))
	}
	d := judged(asked(question), said(a), said(b), v)
	if d.group.Subset, err = f.label("source"); err != nil {
		return decoded{}, err
	}
	d.group.ID, err = f.label("pair_id")
	return d, err
}
