package main

import "haf/report"

type reportCmd struct {
	Runs []string `arg:"" name:"run" help:"Run folders. Those of evaluations are compared (haf -json eval RUN -data FILE -out RUN/pairs.jsonl > RUN/eval.json)."`
	Out  string   `default:"report" help:"Folder for report.md, report.html and the plots."`
}

// Run writes the page of the runs.
func (c *reportCmd) Run(a *app) error {
	var runs []*report.Run
	for _, dir := range c.Runs {
		run, err := report.ReadRun(dir)
		if err != nil {
			return err
		}
		runs = append(runs, run)
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
