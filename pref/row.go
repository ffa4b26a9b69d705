package pref

import (
	"errors"
	"slices"
	"unicode/utf8"
)

// maxResponses bounds a group, because scores give a comparison for every two responses.
const maxResponses = 1024

// A decoded row is a group, or the reason why there is none, or one response that the next row may
// join.
type decoded struct {
	group     Group
	drop      string // a reason, "" where the group stands
	identical int    // comparisons left out: both responses are the same text
	tied      int    // pairs judged equal
	negative  int    // comparisons of a negative margin
	single    bool   // the group has one response, whose score is below
	score     float64
}

// decodeRow decodes one row in the format of opt, and says what was read of it; an error means that
// the row is malformed.
func decodeRow(data []byte, opt Options) (decoded, *fields, error) {
	f, err := rowOf(data, opt)
	var d decoded
	if err == nil {
		d, err = decodeFields(f, opt)
	}
	if errors.Is(err, ErrNotText) && opt.NonText == NonTextDrop {
		return decoded{drop: DropNotText}, f, nil
	}
	return d, f, err
}

// rowOf decodes the keys of a row of text, under haf's names for the columns.
func rowOf(data []byte, opt Options) (*fields, error) {
	f, err := objectOf(data)
	if err == nil {
		err = f.apply(opt.Columns.named())
	}
	if err == nil {
		f.graded = len(opt.Attributes) > 0
		err = f.checkText()
	}
	return f, err
}

func decodeFields(f *fields, opt Options) (decoded, error) {
	m, err := formOf(f, opt.Format)
	if err != nil {
		return decoded{}, err
	}
	d, err := m.read(f, opt)
	if err != nil || d.drop != "" {
		return d, err
	}
	if d.group.Prompt, err = f.context(d.group.Prompt); err != nil {
		return decoded{}, err
	}
	if err := f.named(&d.group); err != nil {
		return decoded{}, err
	}
	if len(d.group.Comparisons) == 1 {
		if err := f.margin(&d.group.Comparisons[0]); err != nil {
			return decoded{}, err
		}
	}
	if err := d.checkMargins(f, opt); err != nil {
		return decoded{}, err
	}
	if !d.single {
		d.settle(opt)
	}
	return d, nil
}

// named reads what a row says of itself: subset and id.
func (f *fields) named(g *Group) (err error) {
	if g.Subset == "" {
		if g.Subset, err = f.label("subset", "domain", "category", "source"); err != nil {
			return err
		}
	}
	if g.ID == "" {
		g.ID, err = f.label(idKeys...)
	}
	return err
}

// idKeys are the keys under which a row has its id, the first that it has.
var idKeys = []string{"id", "prompt_id", "question_id", "idx"}

// checkMargins looks for negative margins: they say that the rejected response is the better one.
func (d *decoded) checkMargins(f *fields, opt Options) error {
	for i := range d.group.Comparisons {
		c := &d.group.Comparisons[i]
		if c.Margin >= 0 {
			continue
		}
		switch d.negative++; opt.NegativeMargin {
		case NegativeFlip:
			c.Chosen, c.Rejected, c.Margin = c.Rejected, c.Chosen, -c.Margin
		case NegativeKeep:
		default:
			return wrong(f.name("margin"), "%g, want 0 or more: it says that the rejected response is "+
				"the better one; -negative-margin flip (data.negative_margin) turns such pairs round",
				c.Margin)
		}
	}
	return nil
}

// settle applies the options to a group that stands.
func (d *decoded) settle(opt Options) {
	g := &d.group
	if !opt.KeepTies {
		g.Ties = nil
	}
	if !opt.KeepUnpaired {
		g.Labels = nil
	}
	unpaired := g.Labels != nil || g.Grades != nil
	switch {
	case len(g.Comparisons) == 0 && len(g.Ties) == 0 && !unpaired && d.tied == 0:
		*d = decoded{drop: DropUnpaired, identical: d.identical}
	case len(g.Comparisons) == 0 && len(g.Ties) == 0 && !unpaired:
		*d = decoded{drop: DropTied, tied: d.tied, identical: d.identical}
	case len(opt.Subsets) > 0 && !slices.Contains(opt.Subsets, g.Subset):
		*d = decoded{drop: DropSubset}
	case opt.MaxChars > 0 && g.chars() > opt.MaxChars:
		*d = decoded{drop: DropLong}
	}
}

// chars counts the characters of the prompt and of the longest response.
func (g Group) chars() int {
	n, longest := 0, 0
	for _, m := range g.Prompt {
		n += utf8.RuneCountInString(m.Content)
	}
	for _, r := range g.Responses {
		longest = max(longest, utf8.RuneCountInString(r))
	}
	return n + longest
}
