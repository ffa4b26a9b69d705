// Package flagvalues checks the values of the flags of haf's command line.
package flagvalues

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"haf/backend"
	"haf/internal/bench"
	"haf/internal/durable"
	"haf/internal/interval"
	"haf/pref"
	"haf/remote"
	"haf/reward"
	"haf/rewarder"
	"haf/serve"
)

// Check returns an error for the first flag with an invalid value. It runs before the command, so
// that an invalid command line fetches, opens and writes nothing.
func Check(command *kong.Context) error {
	for _, f := range command.Flags() {
		if !f.Set {
			continue
		}
		err := checkRange(f)
		if err == nil {
			err = checkText(f)
		}
		if err != nil {
			return fmt.Errorf("-%s: %w", f.Name, err)
		}
	}
	return nil
}

// CheckNew returns an error for an output that exists already: a flag with the tag new names a file
// or folder that the verb creates. It skips work with -shard, which checks by itself, because a
// complete part may stay.
func CheckNew(command *kong.Context) error {
	for _, f := range command.Flags() {
		if f.Name == "shard" && f.Set {
			return nil
		}
	}
	for _, f := range command.Flags() {
		if path := f.Target.String(); f.Tag.Has("new") && path != "" {
			if err := durable.CheckNew(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// textChecks are the checks of flags with a text of some form, by name.
var textChecks = map[string]func(text string) error{
	"addr":            checkAddress,
	"bos":             func(text string) error { return reward.ChatOptions{BOS: text}.Check() },
	"case":            checkCase,
	"combine":         checkCombination,
	"date":            func(text string) error { return reward.ChatOptions{Date: text}.Check() },
	"device":          backend.CheckName,
	"dtype":           reward.CheckDType,
	"ensemble":        func(text string) error { return rewarder.Rule{Name: text, Lambda: 1}.Check() },
	"format":          func(text string) error { return pref.Options{Format: text}.Check() },
	"label":           func(text string) error { return pref.Options{Label: text}.Check() },
	"negative-margin": func(text string) error { return pref.Options{NegativeMargin: text}.Check() },
	"non-text":        func(text string) error { return pref.Options{NonText: text}.Check() },
	"read":            func(text string) error { return reward.ChatOptions{Read: text}.Check() },
	"reward":          reward.CheckReward,
	"rewards":         reward.CheckReward,
	"template":        reward.CheckTemplate,
	"template-arg":    checkTemplateArg,
	"url":             remote.CheckURL,
}

func checkAddress(text string) error { return serve.CheckAddress(text, true, true) }

func checkCase(text string) error {
	_, err := bench.SelectCases([]string{text}, true)
	return err
}

func checkCombination(text string) error {
	_, err := serve.ParseCombination(text)
	return err
}

func checkTemplateArg(text string) error {
	_, err := reward.ParseTemplateArgs([]string{text})
	return err
}

// checkText checks a flag with texts.
func checkText(f *kong.Flag) error {
	name := strings.TrimPrefix(strings.TrimPrefix(f.Name, "gold-"), "policy-")
	check := textChecks[name]
	if check == nil {
		return nil
	}
	texts, ok := f.Target.Interface().([]string)
	if !ok {
		texts = []string{f.Target.String()}
	}
	for _, text := range texts {
		if text == "" {
			continue // an empty text means not given
		}
		if err := check(text); err != nil {
			return err
		}
	}
	return nil
}

// checkRange returns an error for a number outside the interval of the flag's tag range, such as
// [0,1] or (0,inf). It checks the values of a map too. A number that is not finite is in no
// interval.
func checkRange(f *kong.Flag) error {
	text := f.Tag.Get("range")
	if text == "" {
		return nil
	}
	if err := interval.Check(text, f.Target); err != nil {
		return fmt.Errorf("it is %w", err)
	}
	return nil
}
