package doctor

import (
	"cmp"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"haf/objective"
	"haf/recipe"
	"haf/run"
)

// Run examines a run folder by its files and records, without a device.
func Run(dir string) (*Report, error) {
	r := &Report{Path: dir, Kind: KindRun}
	m, err := recipe.ReadManifest(dir)
	if err != nil {
		r.checked("files", problem("do as the message says, or train again", "%v", err))
		return r, nil
	}
	r.checked("files", damagedFiles(dir)...)
	records, err := run.ReadRecords(dir, m.Verb)
	if err != nil {
		r.checked("records", problem("restore metrics.jsonl from a copy, or train again", "%v", err))
		return r, nil
	}
	r.checked("records", emptyRecords(records)...)
	r.checked("end", stopped(records.Stops)...)
	if m.Verb == run.VerbRLHF {
		r.checkOptimization(records.PolicySteps)
		return r, nil
	}
	r.checked("data", warned(m.Report)...)
	h := m.Recipe.TrainOptions().Objective
	r.checked("loss bound", lossBound(h, records.Steps)...)
	r.checked("first loss", firstLoss(h, records.Steps)...)
	r.checked("gradients", gradients(records.Steps)...)
	r.checked("score head", deadHead(h, records.Steps)...)
	r.checked("overfitting", overfitting(records.Validations)...)
	r.checked("validation size", smallValidation(records)...)
	return r, nil
}

// damagedFiles checks the checkpoints and the best weights against their checksums.
func damagedFiles(dir string) (found []Finding) {
	f := run.Folder{Path: dir}
	var folders []string
	entries, err := os.ReadDir(f.Join(run.CheckpointsName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []Finding{problem("check the disk and the permissions", "%v", err)}
	}
	for _, e := range entries {
		if e.IsDir() && e.Name()[0] != '.' {
			folders = append(folders, f.Join(run.CheckpointsName, e.Name()))
		}
	}
	if _, err := os.Stat(f.Join(run.BestName)); err == nil {
		folders = append(folders, f.Join(run.BestName))
	}
	for _, path := range folders {
		if err := run.CheckSums(path); err != nil {
			found = append(found, problem("resume from an intact checkpoint, and check the disk",
				"%s is damaged: %v", path, err))
		}
	}
	return found
}

func emptyRecords(r run.Records) []Finding {
	if len(r.Steps)+len(r.PolicySteps) > 0 {
		return nil
	}
	return []Finding{warning("start or resume the run", "it has made no step yet")}
}

// stopped finds an error that ended the run, such as a loss that is not finite.
func stopped(stops []run.Stop) []Finding {
	if len(stops) == 0 {
		return nil
	}
	last := stops[len(stops)-1]
	return []Finding{problem("fix what the message says; then resume the run, or start over",
		"an error ended the run after step %d: %s", last.Step, last.Error)}
}

// lossBound finds a loss below the minimum of the objective.
func lossBound(h objective.Hybrid, steps []run.TrainStep) []Finding {
	if !h.Bounded() {
		return nil
	}
	for _, s := range steps {
		if s.Loss < -1e-3 {
			return []Finding{problem("look for negative margins in the data with: haf data",
				"the loss of step %d is %g, and no loss of reward %q and policy %q is below 0",
				s.Step, s.Loss, h.Reward, h.Policy)}
		}
	}
	return nil
}

// firstLoss finds a first policy loss that differs from ln 2, the value of DPO while the policy
// equals the reference. The tolerance is that of bfloat16.
func firstLoss(h objective.Hybrid, steps []run.TrainStep) []Finding {
	if len(steps) == 0 || steps[0].Step != 1 || !h.UsesPolicy() || h.Policy != objective.DPO {
		return nil
	}
	if got := steps[0].PolicyLoss; math.Abs(got-math.Ln2) > 5e-3 {
		return []Finding{problem("delete the reference cache, and train again",
			"the first policy loss is %.4f, and ln 2 = %.4f was expected: the reference is not the "+
				"model that training started from", got, math.Ln2)}
	}
	return nil
}

// gradients finds norms that, for a fifth of a run, were ten times those at its start while the
// loss was no lower. Norms also grow while a head learns from zero, but then the loss falls.
func gradients(steps []run.TrainStep) []Finding {
	fifth := len(steps) / 5
	if fifth < 4 {
		return nil
	}
	norm := func(s run.TrainStep) float64 { return s.GradNorm }
	loss := func(s run.TrainStep) float64 { return s.Loss }
	start := min(steps[0].GradNorm, median(steps[:fifth], norm))
	for part := range slices.Chunk(steps, fifth) {
		now := median(part, norm)
		if now > 10*start && median(part, loss) >= steps[0].Loss {
			return []Finding{warning("lower train.lr, or set train.clip",
				"the gradient norm grew from %.3g to %.3g (median of steps %d to %d), and the loss did "+
					"not fall", start, now, part[0].Step, part[len(part)-1].Step)}
		}
	}
	return nil
}

// deadHead finds a score head that gives all responses nearly the same reward.
func deadHead(h objective.Hybrid, steps []run.TrainStep) []Finding {
	if !h.UsesScore() || len(steps) < 20 {
		return nil
	}
	last := steps[len(steps)-len(steps)/5:]
	margin := median(last, func(s run.TrainStep) float64 { return math.Abs(s.Margin) })
	if margin < 1e-3 {
		return []Finding{problem("raise train.lr or objective.reward_weight, and check which weights "+
			"are trained", "the score head's margins are still %.2g at the end", margin)}
	}
	return nil
}

// overfitting finds a validation loss that has risen far above its minimum.
func overfitting(validations []run.Validation) []Finding {
	if len(validations) < 3 {
		return nil
	}
	least := slices.MinFunc(validations, func(a, b run.Validation) int {
		return cmp.Compare(a.Loss, b.Loss)
	})
	last := validations[len(validations)-1]
	if last.Step != least.Step && last.Loss > 1.2*least.Loss {
		return []Finding{warning("train for fewer epochs, or set train.patience",
			"the validation loss rose from %.4f at step %d to %.4f at step %d",
			least.Loss, least.Step, last.Loss, last.Step)}
	}
	return nil
}

// smallValidation finds a validation set too small to select weights: the interval of the best
// validation contains the accuracy of most others.
func smallValidation(r run.Records) []Finding {
	choice, ok := r.Choice()
	if !ok || !choice.ByChance() {
		return nil
	}
	return []Finding{warning("validate on more pairs, or do not choose by validation "+
		"(train.eval_every = 0)", "%s, on %d comparisons: the choice is mostly chance", choice,
		choice.Comparisons)}
}

// warned lists the warnings that the run recorded when it read its data.
func warned(report []string) (found []Finding) {
	for _, line := range report {
		if _, text, ok := strings.Cut(line, "warning: "); ok {
			found = append(found, warning("look at the data with: haf data", "%s", text))
		}
	}
	return found
}

func median[T any](list []T, value func(T) float64) float64 {
	values := make([]float64, len(list))
	for i, x := range list {
		values[i] = value(x)
	}
	slices.Sort(values)
	return stat.Quantile(0.5, stat.Empirical, values, nil)
}
