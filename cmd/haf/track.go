package main

import (
	"fmt"

	"haf/launch"
)

type trackCmd struct {
	Dir string   `arg:"" name:"run" help:"Run folder."`
	To  []string `enum:"tensorboard,mlflow,wandb" help:"Tracker; may be repeated. Default: those of the run's recipe."`
	URI string   `name:"mlflow-uri" help:"MLflow's server. Default: the recipe's, else MLFLOW_TRACKING_URI."`
}

// Run sends the records of a run to trackers.
func (c *trackCmd) Run(a *app) error {
	if c.URI != "" {
		if err := launch.CheckTracker(c.URI); err != nil {
			return fmt.Errorf("%w: -mlflow-uri: %w", errUsage, err)
		}
	}
	sent, err := launch.Track(a.ctx, c.Dir, c.To, c.URI, a.notef)
	if err != nil {
		return err
	}
	return a.done(sent, "%s", sent)
}
