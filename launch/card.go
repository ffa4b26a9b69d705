package launch

import (
	"haf/publish"
	"haf/report"
)

// card writes the card of a model of the run in runDir into the model's folder.
func card(runDir string) func(dir string) error {
	return func(dir string) error {
		r, err := report.ReadRun(runDir)
		if err != nil {
			return err
		}
		_, err = publish.WriteCard(dir, r)
		return err
	}
}
