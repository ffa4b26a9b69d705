package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"haf/internal/durable"
	"haf/internal/wholefile"
	"haf/paper"
	"haf/recipe"
)

// A Plan is the work that the budget allows. It is made once, because the answer must not depend on
// how often the work was stopped. Later calls read it from the folder.
type Plan struct {
	Format  int     `json:"format"`
	Command Command `json:"command"`
	Base    string  `json:"base"`   // hash of the base model
	Recipe  string  `json:"recipe"` // TOML of the common recipe
	Pace    Pace    `json:"pace"`

	Alphas        []float64 `json:"alphas"`
	LearningRates []float64 `json:"learning_rates"`
	SearchSizes   []int     `json:"search_sizes"` // pairs per round; none: no search
	Sizes         []int     `json:"sizes"`        // pairs of the finalists' trainings, ascending
	Seeds         []uint64  `json:"seeds"`        // of the finalists
	Epochs        int       `json:"epochs"`
	Valid         int       `json:"valid"` // groups
	Test          int       `json:"test"`  // groups
	Trainings     int       `json:"trainings"`
	Seconds       float64   `json:"seconds"` // estimated by the pace
	// groups in the data, and in separate test data
	Groups   int `json:"groups"`
	OwnTests int `json:"own_tests"`
}

// A Command is the command that a plan was made for.
type Command struct {
	Data          string    `json:"data"`
	Test          string    `json:"test"`
	Model         string    `json:"model"`
	Alphas        []float64 `json:"alphas"`
	LearningRates []float64 `json:"learning_rates"`
	Set           []string  `json:"set"`
	Seconds       float64   `json:"seconds"` // the budget; a later call's budget only stops it
}

const planFormat = 1

// Bounds of a plan.
const (
	fewestPairs  = 48 // to train on
	fewestValid  = 20
	fewestTest   = 50
	mostTest     = 1000
	mostValid    = 300
	smallestSize = 24  // pairs at a point of the learning curve
	smallRound   = 32  // pairs in a round of the search
	share        = 0.8 // of the time, which the estimate may use
	validations  = 4   // per training
	searchSeed   = 1   // finalists have other seeds, so that the search favours none
	smallModel   = 5e6 // parameters below which rates and epochs are higher
)

// An effort is the amount of search and repetition.
type effort struct {
	alphas              []float64
	rates, seeds, sizes int
}

// efforts, the largest first. Those from lean on are used only if no number of pairs fits lean.
var efforts = []effort{
	{[]float64{0.01, 0.03, 0.1, 0.2, 0.5, 1}, 3, 5, 4},
	{[]float64{0.01, 0.1, 0.3, 1}, 3, 4, 4},
	{[]float64{0.01, 0.2, 1}, 3, 3, 4},
	{[]float64{0.2, 1}, 2, 3, 3},
	{[]float64{0.2}, 1, 3, 3},
	{[]float64{0.2}, 1, 2, 3},
}

const lean = 3

// makePlan reads the plan in the folder, or makes one.
func (s *study) makePlan(ctx context.Context) error {
	path := filepath.Join(s.Out, planName)
	text, err := wholefile.Read(path, wholefile.Settings)
	if errors.Is(err, fs.ErrNotExist) {
		return s.newPlan(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	s.plan = &Plan{}
	if err := json.Unmarshal(text, s.plan); err != nil {
		return fmt.Errorf("compare: %s is damaged: %w: name another -out", path, err)
	}
	if s.plan.Format != planFormat {
		return fmt.Errorf("compare: %s has format %d, and this program reads %d: name another -out", path,
			s.plan.Format, planFormat)
	}
	if s.Test == "" {
		s.Test = s.plan.Command.Test // findTest may have set it
	}
	was, now := s.plan.Command, s.command()
	was.Seconds, now.Seconds = 0, 0
	if same, err := equal(was, now); err != nil || !same {
		return errors.Join(err, fmt.Errorf("compare: %s has a comparison of %s, %s with other settings: "+
			"give the same data, model, -test, -alpha, -lr and -set, or another -out", s.Out, was.Data,
			was.Model))
	}
	base, err := s.base(ctx)
	if err == nil && base != s.plan.Base {
		err = fmt.Errorf("compare: %s has changed since the comparison in %s began: name another -out",
			s.Model, s.Out)
	}
	return err
}

func (s *study) command() Command {
	return Command{Data: s.asked.Data, Test: s.testName(), Model: s.asked.Model, Alphas: s.Alphas,
		LearningRates: s.LearningRates, Set: s.Set, Seconds: s.Time.Seconds()}
}

// testName is the test data as given or found.
func (s *study) testName() string {
	if s.asked.Data == Demo && s.asked.Test == "" {
		return "" // the demo's own test data
	}
	return s.Test
}

func equal(a, b Command) (bool, error) {
	first, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	second, err := json.Marshal(b)
	return string(first) == string(second), err
}

// base identifies the base model.
func (s *study) base(ctx context.Context) (string, error) {
	r := recipe.Default()
	r.Model.Path = s.Model
	return paper.BaseHashes(ctx, s.Hub)(r)
}

// newPlan inspects data and model, measures the pace, and plans.
func (s *study) newPlan(ctx context.Context, path string) error {
	s.findTest(ctx)
	d, err := s.draft(ctx)
	if err != nil {
		return err
	}
	reading, _ := readingSets(s.Set)
	named, err := recipe.Parse("", nil, append([]string{"model.path=-", "data.train=-"}, reading...))
	if err != nil {
		return err
	}
	p := &Plan{Format: planFormat, Command: s.command(), Recipe: string(d.TOML()), Groups: d.Groups()}
	options := named.Data.Options()
	options.Limit = 0
	if p.OwnTests, err = s.checkTest(ctx, options); err != nil {
		return err
	}
	if err := p.checkGroups(s.Data); err != nil {
		return err
	}
	if p.Base, err = s.base(ctx); err != nil {
		return err
	}
	p.LearningRates = defaultRates(d, s.LearningRates)
	p.Epochs = d.Recipe.Train.Epochs
	if d.Estimate.Parameters < smallModel && !setsKey(s.Set, "train.epochs") {
		p.Epochs = 4
	}
	s.plan = p
	if p.Pace, err = s.measure(ctx, d.Recipe.Train.Batch); err != nil {
		return err
	}
	s.Logf("%s", p.Pace)
	left := s.Time.Seconds()
	if until, ok := ctx.Deadline(); ok {
		left = time.Until(until).Seconds()
	}
	if err := p.choose(left, s.Alphas, len(s.LearningRates) > 0); err != nil {
		return err
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = durable.WriteFile(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	return nil
}

func setsKey(sets []string, key string) bool {
	return slices.ContainsFunc(sets, func(set string) bool { return strings.HasPrefix(set, key+"=") })
}

// defaultRates returns learning rates for the size of the trained weights, the middle one first.
func defaultRates(d *recipe.Draft, given []float64) []float64 {
	switch {
	case len(given) > 0:
		return given
	case d.Recipe.LoRA.Rank > 0:
		return []float64{3e-4, 1e-4, 1e-3}
	case d.Estimate.Parameters < smallModel:
		return []float64{3e-3, 1e-3, 1e-2}
	}
	return []float64{3e-5, 1e-5, 1e-4}
}

// checkGroups returns an error unless there are enough groups for all parts.
func (p *Plan) checkGroups(data string) error {
	wanted := fewestPairs + fewestValid
	what := fmt.Sprintf("%d to train on and %d for validation", fewestPairs, fewestValid)
	if p.OwnTests == 0 {
		wanted += fewestTest
		what = fmt.Sprintf("%d to train on, %d for validation and %d to test on", fewestPairs,
			fewestValid, fewestTest)
	}
	if p.Groups < wanted {
		return fmt.Errorf("compare: %w: %s has %d pairs, want at least %d (%s): collect more, or "+
			"compare on published pairs such as datasets/Anthropic/hh-rlhf", ErrInput, data, p.Groups,
			wanted, what)
	}
	if p.OwnTests > 0 && p.OwnTests < fewestTest {
		return fmt.Errorf("compare: %w: the test data has %d pairs, want at least %d: leave -test out "+
			"to have haf take a part of the data", ErrInput, p.OwnTests, fewestTest)
	}
	return nil
}

// choose sets the plan for the seconds that are left: the most pairs for which a lean effort fits,
// then the largest effort for these. If lean does not fit, it searches and repeats less.
func (p *Plan) choose(left float64, alphas []float64, ratesGiven bool) error {
	rates := p.LearningRates
	try := func(pairs, level int) bool {
		e := efforts[level]
		p.Alphas, p.LearningRates = e.alphas, rates
		if len(alphas) > 0 {
			p.Alphas = alphas
		}
		if !ratesGiven {
			p.LearningRates = rates[:min(e.rates, len(rates))]
		}
		p.Seeds = nil
		for i := range e.seeds {
			p.Seeds = append(p.Seeds, uint64(searchSeed+1+i))
		}
		p.size(pairs, e.sizes)
		p.Trainings, p.Seconds = p.cost()
		return p.Seconds <= share*left
	}
	sizes := p.pairSizes()
	for _, floor := range []int{lean, len(efforts) - 1} {
		for _, pairs := range sizes {
			if !try(pairs, floor) {
				continue
			}
			for level := range floor + 1 {
				if try(pairs, level) {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("compare: %w: the shortest comparison, %d trainings on at most %d pairs, takes "+
		"about %v at the measured pace, and %v are left: give -time %v, or a smaller model",
		ErrShort, p.Trainings, fewestPairs, seconds(p.Seconds), seconds(left),
		seconds(math.Ceil(p.Seconds/share/60+1)*60))
}

// pairSizes returns the possible numbers of training pairs, the largest first.
func (p *Plan) pairSizes() []int {
	p.size(p.Groups, 3)
	rest := p.Groups - p.Valid
	if p.OwnTests == 0 {
		rest -= p.Test
	}
	limit := rest
	if n := p.limit(); n > 0 {
		limit = min(n, rest)
	}
	var out []int
	for n := float64(limit); n > fewestPairs; n /= math.Sqrt2 {
		out = append(out, int(n))
	}
	return append(out, min(limit, fewestPairs))
}

// limit is the command's data.limit, or 0.
func (p *Plan) limit() int {
	r, err := recipe.Parse("", nil, append([]string{"model.path=-", "data.train=-"}, p.Command.Set...))
	if err != nil {
		return 0 // the draft has refused the recipe
	}
	return r.Data.Limit
}

// size sets the parts for a number of training pairs, so that validation and test data take no more
// time than training. points is the number of points of the learning curve. The search uses the
// same sizes without the largest, because every size may need programs of its own.
func (p *Plan) size(pairs, points int) {
	work := pairs * p.Epochs
	p.Valid = max(fewestValid, min(work/6, mostValid, p.Groups/8))
	if p.OwnTests > 0 {
		p.Test = min(max(2*fewestTest, work/2), mostTest, p.OwnTests)
	} else {
		p.Test = max(fewestTest, min(max(2*fewestTest, work/2), mostTest, p.Groups/4))
	}
	p.Sizes, p.SearchSizes = nil, nil
	for k := 1 << (points - 1); k >= 1; k /= 2 {
		if n := pairs / k; n >= smallestSize || k == 1 {
			p.Sizes = append(p.Sizes, n)
		}
		if n := pairs / k; k > 1 && n >= smallRound {
			p.SearchSizes = append(p.SearchSizes, n)
		}
	}
	if len(p.Sizes) < 3 {
		p.Sizes = []int{pairs / 4, pairs / 2, pairs}
	}
	if len(p.SearchSizes) == 0 {
		p.SearchSizes = []int{pairs}
	}
	if len(p.Alphas) == 1 && len(p.LearningRates) == 1 {
		p.SearchSizes = nil
	}
}

// rounds returns the number of candidates in each round of a method's search, until one is left.
func (p *Plan) rounds(candidates int) (out []int) {
	for range p.SearchSizes {
		if candidates < 2 {
			break
		}
		out = append(out, candidates)
		candidates = (candidates + 1) / 2
	}
	return out
}

// roundSize is the number of pairs in a round. The last round always has the most.
func (p *Plan) roundSize(round, of int) int {
	return p.SearchSizes[len(p.SearchSizes)-of+round]
}

// cost returns the number of trainings and their estimated seconds.
func (p *Plan) cost() (trainings int, seconds float64) {
	for _, method := range methods {
		rounds := p.rounds(len(p.candidates(method)))
		for i, n := range rounds {
			trainings += n
			seconds += float64(n) * p.Pace.training(p.roundSize(i, len(rounds)), p)
		}
		for _, size := range p.Sizes {
			trainings += len(p.Seeds)
			seconds += float64(len(p.Seeds)) * (p.Pace.training(size, p) + p.Pace.reading(p))
		}
	}
	// Every method and size may need programs of its own. Those of HaF, which were measured, take the
	// longest to compile.
	return trainings, seconds + 0.7*float64(len(methods)*len(p.Sizes))*p.Pace.Compile
}

// sizeSets returns the overrides for a training on that many pairs.
func (p *Plan) sizeSets(pairs int) []string {
	_, sets := readingSets(p.Command.Set)
	steps := p.Epochs * ((pairs + p.batch() - 1) / p.batch())
	every := max(1, steps/validations)
	checkpoint := max(1, int(60/max(1e-9, p.Pace.Forward*3*float64(p.batch()))))
	return append(sets, "train.coarse_shapes=true", fmt.Sprintf("train.epochs=%d", p.Epochs),
		fmt.Sprintf("data.limit=%d", pairs), fmt.Sprintf("train.eval_every=%d", every),
		fmt.Sprintf("train.checkpoint_every=%d", min(checkpoint, 1000)))
}

// batch is the batch of the recipe.
func (p *Plan) batch() int {
	_, sets := readingSets(p.Command.Set)
	r, err := recipe.Parse("", []byte(p.Recipe), sets)
	if err != nil {
		return 16 // the first cell reports the fault
	}
	return r.Train.Batch
}

// grid returns a grid with the split of the data and the common recipe.
func (p *Plan) grid(s *study) *paper.Grid {
	return p.gridOf(s, p.Sizes[len(p.Sizes)-1], p.Valid, p.Test)
}

func (p *Plan) gridOf(s *study, pairs, valid, test int) *paper.Grid {
	set := paper.Set{Name: setName, Files: []string{s.Data}, NTrain: pairs, NValid: valid, NTest: test}
	if s.Test != "" {
		set.Test = []string{s.Test}
	}
	reading, _ := readingSets(s.Set)
	r, err := recipe.Parse("", nil, append([]string{"model.path=-", "data.train=-"}, reading...))
	if err == nil { // otherwise the draft has refused it
		d := r.Data
		set.Format, set.Label, set.Columns, set.Subsets, set.MaxChars = d.Format, d.Label, d.Columns,
			d.Subsets, d.MaxChars
	}
	var common map[string]any
	if err := toml.Unmarshal([]byte(p.Recipe), &common); err != nil {
		panic(err) // cannot happen: haf wrote it
	}
	delete(common, "data")
	return &paper.Grid{Title: "Which reward model to use", SplitSeed: 1, Recipe: common,
		Sets: []paper.Set{set}, Seeds: p.Seeds}
}

// describe summarizes the plan.
func (p *Plan) describe(of paper.PartCounts) string {
	var alphas, sizes []string
	for _, a := range p.Alphas {
		alphas = append(alphas, fmt.Sprintf("%g", a))
	}
	for _, n := range p.Sizes {
		sizes = append(sizes, fmt.Sprint(n))
	}
	search := "nothing to search: one α and one learning rate"
	if len(p.SearchSizes) > 0 {
		search = fmt.Sprintf("a search over α %s and %d learning rates on %d validation pairs",
			strings.Join(alphas, ", "), len(p.LearningRates), of.Valid)
	}
	return fmt.Sprintf("plan: %s; then %d finalists with %d seeds on %s training pairs, read on %d "+
		"test pairs: %d trainings, about %v of the budget of %v", search, len(methods), len(p.Seeds),
		strings.Join(sizes, ", "), of.Test, p.Trainings, seconds(p.Seconds), seconds(p.Command.Seconds))
}

// seconds formats seconds as a duration for readers.
func seconds(s float64) time.Duration {
	d := time.Duration(s * float64(time.Second))
	if d > time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(time.Second / 10)
}
