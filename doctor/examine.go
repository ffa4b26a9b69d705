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

// ErrNotData is wrapped where something else than data is to be compared with data or read as such.
var ErrNotData = errors.New("not data")

// Options say how [Examine] finds and opens what it examines.
type Options struct {
	Against    []string           // files that must share no prompt with the data
	Data       pref.Options       // how data is read
	Chat       reward.ChatOptions // of a model
	Column     string             // of a model: the reward of a head with several labels
	Hub        *hub.Client        // for ids
	OpenDevice func() (*backend.Device, error)
}

// Examine says what is wrong with the run, model or data that a path, or an id on the hub, names.
func Examine(ctx context.Context, path string, opt Options) (*Report, error) {
	kind, err := KindOf(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(path, "datasets/"): // on the hub
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

// isZero tells options that ask for nothing but the defaults, which some name.
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
