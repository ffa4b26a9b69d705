// Package run is a run on disk, for both haf train and haf rlhf: its folder, its manifest, the
// typed records of metrics.jsonl, its checkpoints, and the session that starts or resumes it.
// docs/reference/run-folder.md describes the files.
package run
