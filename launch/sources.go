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

// Sources opens reward sources by their names. It is a [RewardOpener].
type Sources struct {
	// Model opens a model on this machine.
	Model ModelOpener
	Hub   func() (*hub.Client, error) // finds models and tokenizers

	Token    string // bearer token for haf serve; "" is none
	Key      string // bearer token for servers of other programs; "" is none
	JudgeKey string // bearer token for the server of a judge; "" is none

	Progress run.Progress
	// Notef is told what a user should know of a reward.
	Notef func(format string, args ...any)
}

// SourceSettings are those of reward sources other than models on this machine.
type SourceSettings struct {
	Tokenizer   string        // folder or id of the model that renders for them; "" is none
	Timeout     time.Duration // longest wait for one answer
	Concurrency int           // requests at once
	JudgePrompt string        // file of a judge's prompt
}

// Check returns an [ErrUsage] where a setting is made that none of the named sources reads.
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

// A SourceReading says how a reward source is read.
type SourceReading struct {
	reward.Options
	SourceSettings
	// Rule makes one reward of several sources; without a name there is one source.
	Rule rewarder.Rule
	// Once says that it is read in one call, whose progress is shown: members of an ensemble are
	// opened one after the other.
	Once  bool
	Batch int // responses at a time, 0: those of a call
}

// OpenRewarder opens the one source, or the ensemble of several.
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

// CheckRewards returns an [ErrUsage] unless the models are one, or the rule makes one of two or
// more, and the rewards are names of rewards; "" is the default reward.
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
		return fmt.Errorf("%w: -ensemble %s of %d model, wanted two or more", ErrUsage, rule.Name,
			len(models))
	}
	return nil
}

// OpenMean opens the default reward of the one source, or the mean of those of several.
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

// Look returns an error unless the named sources are there. It is for the time before minutes go
// into other work.
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
		return nil, err // no nil pointer in the interface
	}
	return opened, nil
}

// settingsOf are the settings in a recipe.
func settingsOf(r recipe.Reward) SourceSettings {
	return SourceSettings{
		Tokenizer: r.Tokenizer, JudgePrompt: r.JudgePrompt,
		Timeout:     time.Duration(r.Timeout * float64(time.Second)),
		Concurrency: r.Concurrency,
	}
}

// options are those of package source.
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

// findModel looks for a model on disk or, with its id, on the hub, from where it is fetched.
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

// CacheDir is the folder of the reference's log-probabilities in the user's cache.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set XDG_CACHE_HOME or HOME", err)
	}
	return filepath.Join(dir, "haf", "reference"), nil
}
