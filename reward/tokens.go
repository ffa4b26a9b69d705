package reward

import "haf/pref"

// Tokens counts texts and groups in the model's tokens. It is a [pref.Tokens].
func (m *Model) Tokens() pref.Tokens { return tokens{m} }

type tokens struct{ model *Model }

func (t tokens) Length(text string) int { return len(t.model.Tokenizer.Encode(text, false)) }

// Facts implements [pref.Tokens]. It is not an error if no group is left as tokens.
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
