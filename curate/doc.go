// Package curate makes data with models: samples of prompts, the best of several samples, verdicts
// of judges, preferences with new labels. It works with any [pref.Generator], [pref.Scorer] and
// [pref.Judge]; what they give is kept in a [Journal], so that work that was stopped is gone on
// with.
package curate
