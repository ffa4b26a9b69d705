package recipe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"haf/internal/tracking"
)

// Tracking names the trackers that get the records of a run, besides metrics.jsonl.
type Tracking struct {
	// trackers: "tensorboard", "mlflow", "wandb"; empty is none
	ReportTo []string `toml:"report_to" json:"report_to"`
	// name of the MLflow experiment and of the Weights & Biases project
	Project string `toml:"project" json:"project"`
	// name of the run in trackers; "" is the name of its folder
	RunName string `toml:"run_name" json:"run_name"`
	// MLflow's server, such as "http://localhost:5000"; "" is MLFLOW_TRACKING_URI
	MLflowURI string `toml:"mlflow_uri" json:"mlflow_uri"`
}

func (t Tracking) check() error {
	for i, name := range t.ReportTo {
		if !slices.Contains(tracking.Names(), name) {
			return fmt.Errorf("recipe: tracking.report_to has %q, want %s", name,
				strings.Join(tracking.Names(), ", "))
		}
		if slices.Contains(t.ReportTo[:i], name) {
			return fmt.Errorf("recipe: tracking.report_to has %q twice", name)
		}
	}
	if t.MLflowURI != "" {
		if err := tracking.CheckURI(t.MLflowURI); err != nil {
			return fmt.Errorf("recipe: tracking.mlflow_uri: %w", err)
		}
	}
	return nil
}

// Params lists the recipe's values by their dotted keys, as TOML writes them.
func (r *Recipe) Params() map[string]string {
	data, err := toml.Marshal(r)
	if err != nil {
		panic(err) // a recipe was TOML
	}
	var keys map[string]any
	if err := toml.Unmarshal(data, &keys); err != nil {
		panic(err)
	}
	params := map[string]string{}
	for key, value := range flatten("", keys) {
		params[key] = fmt.Sprint(value)
	}
	return params
}
