package eval

import "haf/pref"

// What the tests of numbers reach that other programs cannot.
const (
	MinChunk = minChunk
	Ties     = ties
)

var (
	LogLikelihood = logLikelihood
	MeanStd       = meanStd
	Ranks         = ranks
	RewardBenchOf = rewardBenchOf
	SignTest      = signTest
	Wilson        = wilson
)

// TiesStrata are the strata of the subset Ties, as intervals have them.
func TiesStrata(groups []pref.Group) [][][]int { return strataOf(groups, tiesNumber) }

// RewardBenchWeight is the weight of a section of RewardBench.
func RewardBenchWeight(section int) float64 { return rewardBenchSections[section].weight }

// Rows are the scores of the suite's table.
func (r *SuiteResult) Rows() []*Score { return r.rows() }

// Close makes the suite's overall score of its sections.
func (r *SuiteResult) Close() { r.close() }
