// Package run is a run on disk, of haf train and of haf rlhf alike: its folder, its manifest, the
// typed records of metrics.jsonl, its checkpoints, and the session that starts or resumes it.
// docs/reference/run-folder.md describes the files.
package run
