package launch

import (
	"fmt"
	"strings"

	"haf/eval"
	"haf/pref"
	"haf/recipe"
)

// CombinationData reads the preferences for fitting the weights of a model's heads: the named files
// or, without any, the validation data of the run. split describes them.
func CombinationData(
	model string, named []string, files eval.Files, opt pref.Options,
) (groups []pref.Group, split string, err error) {
	if len(named) == 0 {
		groups, err := recipe.ValidationGroups(model)
		if err != nil {
			err = fmt.Errorf("%w; name the data of the fit with -valid FILE", err)
		}
		return groups, "the run's validation data, which chose the checkpoint, too", err
	}
	found, err := files(named)
	if err != nil {
		return nil, "", err
	}
	groups, _, err = pref.Load(found, opt)
	return groups, "the file " + strings.Join(named, ", "), err
}
