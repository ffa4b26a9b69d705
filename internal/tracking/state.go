package tracking

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"haf/internal/durable"
	"haf/internal/wholefile"
)

// StateName is the file of a run folder with the trackers' ids of the run.
const StateName = "tracking.json"

// state is the content of tracking.json.
type state struct {
	WandB  string `json:"wandb_run_id,omitempty"`
	MLflow string `json:"mlflow_run_id,omitempty"`
	URI    string `json:"mlflow_uri,omitempty"` // server of the id
}

// readState returns the state of the run in dir, or a zero state without the file.
func readState(dir string) (state, error) {
	var s state
	data, err := wholefile.Read(filepath.Join(dir, StateName), wholefile.Settings)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s is damaged: %w; remove it to begin a new run in the tracker",
			filepath.Join(dir, StateName), err)
	}
	return s, nil
}

func (s state) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, StateName), append(data, '\n'))
}
