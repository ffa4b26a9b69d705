package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"

	"haf/backend"
	"haf/hub"
	"haf/pref"
	"haf/reward"
)

// ErrNotData is wrapped if something other than data is given as data.
var ErrNotData = errors.New("not data")

// Options set how [Examine] finds and opens its subject.
type Options struct {
	Against    []string           // files that should share no prompt with the data
	Data       pref.Options       // how data is read
	Chat       reward.ChatOptions // for a model
	Column     string             // for a model: the reward of a head with several labels
	Hub        *hub.Client        // resolves ids
	OpenDevice func() (*backend.Device, error)
}

// Examine examines the run, model or data at a path, or with an id on the hub.
func Examine(ctx context.Context, path string, opt Options) (*Report, error) {
	kind, err := KindOf(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(path, "datasets/"): // an id on the hub
		kind = KindData
	case errors.Is(err, fs.ErrNotExist):
		kind = KindModel
	case err != nil:
		return nil, err
	}
	switch {
	case kind != KindData && (len(opt.Against) > 0 || !isZero(opt.Data)):
		return nil, fmt.Errorf("%s is a %s: %w", path, kind, ErrNotData)
	case kind == KindRun:
		return Run(path)
	case kind == KindModel:
		return examineModel(ctx, path, opt)
	}
	files, err := opt.Hub.Files(ctx, []string{path})
	if err != nil {
		return nil, err
	}
	others, err := opt.Hub.Files(ctx, opt.Against)
	if err != nil {
		return nil, err
	}
	return Data(files, others, opt.Data)
}

// isZero recognizes options that ask only for defaults, some of which are written out.
func isZero(opt pref.Options) bool {
	if opt.Format == pref.Auto {
		opt.Format = ""
	}
	if opt.NonText == pref.NonTextError {
		opt.NonText = ""
	}
	return reflect.ValueOf(opt).IsZero()
}

func examineModel(ctx context.Context, path string, opt Options) (*Report, error) {
	model, err := opt.Hub.Model(ctx, path)
	if err != nil {
		return nil, err
	}
	device, err := opt.OpenDevice()
	if err != nil {
		return nil, err
	}
	return Model(ctx, device, model.Paths[0], reward.Options{Chat: opt.Chat, Column: opt.Column})
}
