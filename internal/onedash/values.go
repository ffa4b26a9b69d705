package onedash

import (
	"slices"

	"github.com/alecthomas/kong"
)

// Values returns the arguments and flags of a parsed verb by name, with defaults for those not
// given. It leaves out empty values, the flags in without, and the program's own flags.
func Values(command *kong.Context, without ...string) map[string]any {
	values := map[string]any{}
	add := func(v *kong.Value) {
		if !v.Target.IsZero() {
			values[v.Name] = v.Target.Interface()
		}
	}
	for node := command.Selected(); node != nil && node.Type == kong.CommandNode; node = node.Parent {
		for _, value := range node.Positional {
			add(value)
		}
		for _, flag := range node.Flags {
			if !slices.Contains(without, flag.Name) {
				add(flag.Value)
			}
		}
	}
	return values
}
