// Package curate makes data with models: samples of prompts, the best of several samples, verdicts
// of judges, preferences with new labels. It works with any [pref.Generator], [pref.Scorer] and
// [pref.Judge]. A [Journal] keeps their outputs, so that interrupted work can be resumed.
package curate
