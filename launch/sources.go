package launch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"haf/hub"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/rewarder"
	"haf/rewarder/source"
	"haf/run"
)

// Sources opens reward sources by name. It is a [RewardOpener].
type Sources struct {
	// Model opens a model on this machine.
	Model ModelOpener
	Hub   func() (*hub.Client, error) // finds models and tokenizers

	Token    string // bearer token for haf serve; "" is none
	Key      string // bearer token for servers of other programs; "" is none
	JudgeKey string // bearer token for the server of a judge; "" is none

	Progress run.Progress
	// Notef gets notes for the user about a reward.
	Notef func(format string, args ...any)
}

// SourceSettings are the settings of reward sources other than local models.
type SourceSettings struct {
	Tokenizer   string        // folder or id of the model whose template renders; "" is none
	Timeout     time.Duration // longest wait for an answer
	Concurrency int           // requests at once
	JudgePrompt string        // file with a judge's prompt
}

// Check returns an [ErrUsage] if none of the named sources uses a given setting.
func (s SourceSettings) Check(names ...string) error {
	var renders, judges bool
	for _, name := range names {
		parsed, err := source.Parse(name)
		if err != nil {
			return err
		}
		uses := parsed.Uses()
		renders, judges = renders || uses.Tokenizer, judges || uses.Judge
	}
	switch {
	case s.Tokenizer != "" && !renders:
		return fmt.Errorf("%w: -source-tokenizer is for sglang+ and openrlhf+ sources, and none is "+
			"named: leave it out", ErrUsage)
	case s.JudgePrompt != "" && !judges:
		return fmt.Errorf("%w: -judge-prompt is for judge+ sources, and none is named: leave it out",
			ErrUsage)
	}
	return nil
}

// A SourceReading sets how a reward source is read.
type SourceReading struct {
	reward.Options
	SourceSettings
	// Rule combines several sources into one reward. It has no name for a single source.
	Rule rewarder.Rule
	// Once says that the source is read in one call with visible progress. Members of an ensemble are
	// then opened one after another.
	Once  bool
	Batch int // responses at a time; 0: all of a call
}

// OpenRewarder opens the single source, or the ensemble of several.
func (s Sources) OpenRewarder(
	ctx context.Context, names []string, r SourceReading,
) (pref.Rewarder, error) {
	open := func(name string) (pref.Rewarder, error) {
		return source.Open(ctx, name, s.options(r))
	}
	switch {
	case r.Rule.Name == "":
		return open(names[0])
	case r.Once:
		return rewarder.OpenOnDemand(r.Rule, names, func(name string) (pref.Rewarder, error) {
			s.Progress.Logf("member: %s", name)
			return open(name)
		})
	}
	return rewarder.OpenEnsemble(r.Rule, names, open)
}

// CheckRewards returns an [ErrUsage] unless there is one model, or a rule and at least two models,
// and the rewards are valid names; "" is the default reward.
func CheckRewards(models []string, rule rewarder.Rule, rewards ...string) error {
	for _, name := range rewards {
		if name == "" {
			continue
		}
		if err := reward.CheckReward(name); err != nil {
			return fmt.Errorf("%w: %w", ErrUsage, err)
		}
	}
	if rule.Name == "" {
		if len(models) > 1 {
			return fmt.Errorf("%w: %d models: name one, or make one of them with -ensemble",
				ErrUsage, len(models))
		}
		return nil
	}
	if err := rule.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if len(models) < 2 {
		return fmt.Errorf("%w: -ensemble %s of %d model, want two or more", ErrUsage, rule.Name,
			len(models))
	}
	return nil
}

// OpenMean opens the default reward of the single source, or the mean over several.
func (s Sources) OpenMean(ctx context.Context, names []string, r SourceReading) (*Reward, error) {
	if len(names) > 1 {
		r.Rule.Name = rewarder.Mean
	}
	from, err := s.OpenRewarder(ctx, names, r)
	if err != nil {
		return nil, err
	}
	return NewReward(ctx, from, r.Rule.NameOf(names), "", s.Notef)
}

// Look returns an error if a named source is unavailable. Callers use it before work that takes
// minutes.
func (s Sources) Look(ctx context.Context, settings SourceSettings, names ...string) error {
	for _, name := range names {
		err := source.Reach(ctx, name, s.options(SourceReading{SourceSettings: settings}))
		if err != nil {
			return err
		}
	}
	return nil
}

// Reach implements [RewardOpener].
func (s Sources) Reach(ctx context.Context, r recipe.Reward) error {
	return s.Look(ctx, settingsOf(r), r.Source)
}

// Open implements [RewardOpener].
func (s Sources) Open(ctx context.Context, r recipe.Reward) (RewardSource, error) {
	from, err := s.OpenRewarder(ctx, []string{r.Source}, SourceReading{
		Options: r.Options(), SourceSettings: settingsOf(r),
	})
	if err != nil {
		return nil, err
	}
	opened, err := NewReward(ctx, from, r.Source, r.Reward, s.Notef)
	if err != nil {
		return nil, err // avoids a nil pointer in the interface
	}
	return opened, nil
}

// settingsOf returns the settings in a recipe.
func settingsOf(r recipe.Reward) SourceSettings {
	return SourceSettings{
		Tokenizer: r.Tokenizer, JudgePrompt: r.JudgePrompt,
		Timeout:     time.Duration(r.Timeout * float64(time.Second)),
		Concurrency: r.Concurrency,
	}
}

// options returns the options of package source.
func (s Sources) options(r SourceReading) source.Options {
	chat := r.Chat
	opt := source.Options{
		Token: s.Token, Key: s.Key, JudgeKey: s.JudgeKey, Log: s.Progress.Logf,
		ModelSettings:    r.MaxLength != 0 || r.Column+r.DType+chat.Read != "",
		TemplateSettings: chat.Args != nil || chat.Template+chat.Date+chat.BOS != "",
		Timeout:          r.Timeout, Concurrency: r.Concurrency, JudgePrompt: r.JudgePrompt,
		FindModel: s.findModel,
		Model: func(ctx context.Context, name string) (pref.Rewarder, error) {
			return s.openReader(ctx, name, r)
		},
	}
	if r.Once {
		opt.Progress = run.Passes(s.Progress)
	}
	if r.Tokenizer != "" {
		opt.Tokenizer = func(ctx context.Context) (source.Renderer, error) {
			return s.openRenderer(ctx, r.Tokenizer, chat)
		}
	}
	return opt
}

// openReader opens a model on this machine.
func (s Sources) openReader(
	ctx context.Context, name string, r SourceReading,
) (pref.Rewarder, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	model, err := s.Model(ctx, name, r.Options)
	if err != nil {
		return nil, err
	}
	opt := reward.ReaderOptions{CacheDir: cache, Batch: r.Batch, Log: s.Progress.Logf}
	if r.Once {
		opt.Progress = run.Passes(s.Progress)
	}
	return model.Reader(opt), nil
}

// openRenderer opens the template and tokenizer of a model, by its folder or id.
func (s Sources) openRenderer(
	ctx context.Context, named string, chat reward.ChatOptions,
) (source.Renderer, error) {
	client, err := s.Hub()
	if err != nil {
		return nil, err
	}
	found, err := client.Tokenizer(ctx, named)
	if err != nil {
		return nil, err
	}
	return reward.OpenEncoder(found.Paths[0], chat)
}

// findModel finds a model on disk or, by id, on the hub, and fetches it.
func (s Sources) findModel(ctx context.Context, name string) error {
	client, err := s.Hub()
	if err != nil {
		return err
	}
	model, err := client.Model(ctx, name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(model.Paths[0]); err != nil {
		return fmt.Errorf("%s: %w: a reward source is %s", name, err, source.Forms())
	}
	return nil
}

// CacheDir is the folder for the reference's log-probabilities in the user's cache.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set XDG_CACHE_HOME or HOME", err)
	}
	return filepath.Join(dir, "haf", "reference"), nil
}
