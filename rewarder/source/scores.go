package source

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"haf/pref"
)

// Precomputed rewards are found in one of three ways, depending on the keys of the file's rows:
//
//   - by conversation, where they have prompt and response. This is the one way that works wherever
//     a reward is asked for, because it needs nothing but the conversation.
//   - by id, where they have an id and no prompt: the rewards of the row of that id.
//   - by order, where they have neither: the file has exactly the rewards of the responses that are
//     read, in their order.
const (
	byConversation = "prompt and response"
	byID           = "id"
	byOrder        = "order"
)

// A conversation identifies a response to a prompt.
type conversation struct {
	prompt   pref.PromptKey
	response string
}

// scores are the rewards in a file.
type scores struct {
	file  string
	by    string
	rows  int
	texts map[conversation]pref.Precomputed // one reward each
	ids   map[string]pref.Precomputed
	order []pref.Precomputed

	mu   sync.Mutex
	used map[string]bool       // requested ids
	read map[conversation]bool // requested conversations
}

func checkScores(file string) error {
	if file == "" {
		return fmt.Errorf("the name has no file, want scores:FILE")
	}
	return nil
}

// reachScores checks the first row. Callers of Reach read conversations without the rows of data,
// so rewards by id or by order could not be found.
func reachScores(_ context.Context, s Source, _ Options) error {
	for row, err := range pref.ReadRewards(s.Address) {
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if by := foundBy(row); by != byConversation {
			return fmt.Errorf("%s: %s: its rewards are found by %s, but only haf eval reads data that "+
				"has it (and haf score -in the order): want rows {prompt, response, reward}", s.Name,
				row.Source, by)
		}
		break
	}
	return nil
}

// openScores reads the file of rewards.
func openScores(_ context.Context, s Source, opt Options) (pref.Rewarder, error) {
	f := &scores{file: s.Address, texts: map[conversation]pref.Precomputed{},
		ids: map[string]pref.Precomputed{}, used: map[string]bool{}, read: map[conversation]bool{}}
	for row, err := range pref.ReadRewards(s.Address) {
		if err == nil {
			err = f.add(row)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if opt.Log != nil {
		opt.Log("%s: %d rows, found by %s", s.Name, f.rows, f.by)
	}
	return &single{served: s.Name, score: f.score, progress: opt.Progress, close: func() error {
		if unused := f.unused(); unused != "" && opt.Log != nil {
			opt.Log("%s: %s", s.Name, unused)
		}
		return nil
	}}, nil
}

// foundBy names the way in which the rewards of a row are found.
func foundBy(row pref.Precomputed) string {
	switch {
	case row.Prompt != nil:
		return byConversation
	case row.ID != "":
		return byID
	}
	return byOrder
}

// unused counts the rewards that were never requested, and names the first of them.
func (f *scores) unused() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.by == byID && len(f.used) < len(f.ids):
		var first pref.Precomputed
		for id, row := range f.ids {
			if !f.used[id] && (first.ID == "" || row.Source.Line < first.Source.Line) {
				first = row
			}
		}
		return fmt.Sprintf("%d of %d ids are in no row that was read, the first is %q (%s)",
			len(f.ids)-len(f.used), len(f.ids), first.ID, first.Source)
	case f.by == byConversation && len(f.read) < len(f.texts):
		var first pref.Precomputed
		for key, row := range f.texts {
			if !f.read[key] && (first.Prompt == nil || row.Source.Line < first.Source.Line) {
				first = row
			}
		}
		return fmt.Sprintf("%d of %d rewards were not asked for, the first is at %s",
			len(f.texts)-len(f.read), len(f.texts), first.Source)
	}
	return ""
}

// add adds a row.
func (f *scores) add(row pref.Precomputed) error {
	f.rows++
	by := foundBy(row)
	if f.by = cmp.Or(f.by, by); f.by != by {
		return fmt.Errorf("%s: the row is found by %s and those before it by %s, want all alike",
			row.Source, by, f.by)
	}
	switch by {
	case byID:
		if first, ok := f.ids[row.ID]; ok {
			return fmt.Errorf("%s: the id %q is there twice, first at %s", row.Source, row.ID, first.Source)
		}
		f.ids[row.ID] = row
	case byOrder:
		f.order = append(f.order, row)
	case byConversation:
		prompt := pref.Group{Prompt: row.Prompt}.PromptKey()
		for k, response := range row.Responses {
			key, one := conversation{prompt, response}, row
			one.Rewards = row.Rewards[k : k+1]
			first, ok := f.texts[key]
			if ok && first.Rewards[0] != one.Rewards[0] {
				return fmt.Errorf("%s: a conversation has the reward %v, and %v at %s", row.Source,
					one.Rewards[0], first.Rewards[0], first.Source)
			}
			if !ok {
				f.texts[key] = one
			}
		}
	}
	return nil
}

// score looks the items up.
func (f *scores) score(ctx context.Context, items []item, done func(int)) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []float64
	var err error
	switch f.by {
	case byConversation:
		out, err = f.byConversation(items)
	case byID:
		out, err = f.byID(items)
	default:
		out, err = f.byOrder(items)
	}
	if err == nil {
		done(len(items))
	}
	return out, err
}

func (f *scores) byConversation(items []item) ([]float64, error) {
	out := make([]float64, len(items))
	for i, it := range items {
		key := conversation{pref.Group{Prompt: it.Prompt}.PromptKey(), it.Response}
		row, ok := f.texts[key]
		if !ok {
			return nil, fmt.Errorf("response %d of %d has no reward: no row has its prompt with the "+
				"response %q", i+1, len(items), short(it.Response))
		}
		f.read[key] = true
		out[i] = row.Rewards[0]
	}
	return out, nil
}

// group returns the number of leading items that belong to one group.
func group(items []item) int {
	n := 1
	for n < len(items) && items[n].group == items[0].group {
		n++
	}
	return n
}

func (f *scores) byID(items []item) ([]float64, error) {
	var out []float64
	for len(items) > 0 {
		n := group(items)
		if items[0].id == "" {
			return nil, fmt.Errorf("group %d has no id, but rewards are found by id: want data with "+
				"ids, or rows {prompt, response, reward}; haf rank, relabel, judge and rlhf read "+
				"conversations without ids", items[0].group+1)
		}
		row, ok := f.ids[items[0].id]
		if !ok {
			return nil, fmt.Errorf("the id %q is in no row", items[0].id)
		}
		if len(row.Rewards) != n {
			return nil, fmt.Errorf("%s: the id %q has %d rewards for %d responses", row.Source, row.ID,
				len(row.Rewards), n)
		}
		f.used[row.ID] = true
		out, items = append(out, row.Rewards...), items[n:]
	}
	return out, nil
}

func (f *scores) byOrder(items []item) ([]float64, error) {
	var out []float64
	for _, row := range f.order {
		if row.List && len(out) < len(items) {
			if n := group(items[len(out):]); n != len(row.Rewards) {
				return nil, fmt.Errorf("%s: %d rewards for %d responses", row.Source, len(row.Rewards), n)
			}
		}
		out = append(out, row.Rewards...)
	}
	if len(out) != len(items) {
		return nil, fmt.Errorf("%d rewards by order for %d responses, want as many; rows {prompt, "+
			"response, reward} are found in any order and number", len(out), len(items))
	}
	return out, nil
}

// short returns the beginning of a text, for messages.
func short(text string) string {
	const most = 60
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
