package reward

import "haf/pref"

// Tokens counts texts and groups in the model's tokens. It is a [pref.Tokens].
func (m *Model) Tokens() pref.Tokens { return tokens{m} }

type tokens struct{ model *Model }

func (t tokens) Length(text string) int { return len(t.model.Tokenizer.Encode(text, false)) }

// Facts implements [pref.Tokens]. That no group is left as tokens is no error but a fact.
func (t tokens) Facts(groups []pref.Group) (*pref.TokenFacts, error) {
	_, report, err := t.model.Encoder.Groups(groups)
	if report == nil {
		return nil, err
	}
	return &pref.TokenFacts{
		Report: report.String(), Special: report.Special, WithSpecial: report.WithSpecial,
		Dropped: report.Dropped,
	}, nil
}
