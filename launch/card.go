package launch

import (
	"haf/publish"
	"haf/report"
)

// card returns a function that writes the card of the model of the run in runDir.
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
