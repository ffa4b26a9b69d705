package main

import "haf/report"

type reportCmd struct {
	Runs []string `arg:"" name:"run" help:"Run folders. Those of evaluations are compared (haf -json eval RUN -data FILE -out RUN/pairs.jsonl > RUN/eval.json)."`
	Out  string   `default:"report" help:"Folder for report.md, report.html and the plots."`
}

// Run writes the page of the runs.
func (c *reportCmd) Run(a *app) error {
	runs, err := report.ReadRuns(c.Runs)
	if err != nil {
		return err
	}
	page, err := report.Runs(runs)
	if err != nil {
		return err
	}
	if err := page.Write(c.Out, "report"); err != nil {
		return err
	}
	files := report.FilesOf(c.Out, "report")
	return a.done(files, "done: %s and %s", files.Markdown, files.HTML)
}
