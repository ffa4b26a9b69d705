package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"haf/hub"
	"haf/report"
)

// Options set where a model goes.
type Options struct {
	ID       string // org/name on the hub
	Revision string // branch; "" is main
	Private  bool   // for a new repository
	Message  string // of the commit; "" is a default
	Base     string // id of the base model, if the model's files lack it
	DryRun   bool   // list the files without sending them
}

// Check returns an error unless the options name a model of the hub, a branch and, if given, a
// base.
func (o Options) Check() error {
	for _, id := range []struct{ of, text string }{{"", o.ID}, {"-base: ", o.Base}} {
		if id.of != "" && id.text == "" {
			continue
		}
		parsed, err := hub.ParseRef(id.text)
		if err != nil || parsed.Dataset || parsed.ID != id.text {
			return fmt.Errorf("publish: %s%q is no id: want org/name", id.of, id.text)
		}
	}
	if err := (hub.Push{ID: o.ID, Revision: o.Revision}).Check(); err != nil {
		return fmt.Errorf("publish: -revision: %w", err)
	}
	return nil
}

// A Sent lists the files that went, or would go, to the hub.
type Sent struct {
	ID       string   `json:"id"`
	Files    []File   `json:"files"`
	LeftOut  []string `json:"left_out"` // files of the folder that are not sent
	DryRun   bool     `json:"dry_run"`
	Commit   string   `json:"commit,omitempty"`
	URL      string   `json:"url,omitempty"`
	Messages []string `json:"notes"`
}

// A File is a file to send.
type File struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// sendable are the names of a model's files. Nothing else is sent: no checkpoint, manifest or
// record of a run.
var sendable = []string{
	"*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json",
	"adapter_config.json", "haf.json", "combination.json", "tokenizer.json",
	"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
	"vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", CardName, "LICENSE*",
}

// Push sends the model of a run, or the model in a folder, to the hub.
func Push(ctx context.Context, client *hub.Client, from string, o Options) (Sent, error) {
	out := Sent{ID: o.ID, DryRun: o.DryRun}
	dir, r, err := ModelDir(from)
	if err != nil {
		return out, err
	}
	files, err := collect(dir, r, o, &out)
	if err != nil || o.DryRun {
		return out, err
	}
	if o.Message == "" {
		o.Message = "Upload a model by haf"
	}
	done, err := client.Push(ctx, hub.Push{ID: o.ID, Revision: o.Revision, Private: o.Private,
		Message: o.Message, Files: files})
	out.Commit, out.URL = done.Commit, done.URL
	return out, err
}

// collect finds the files of a model, and rewrites those that contain paths of this machine.
func collect(dir string, r *report.Run, o Options, out *Sent) ([]hub.Upload, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	f, err := readFacts(dir, r)
	if err != nil {
		return nil, err
	}
	rewritten, err := f.rewrite(dir, o, out)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	var files []hub.Upload
	add := func(u hub.Upload, size int64) {
		files = append(files, u)
		out.Files = append(out.Files, File{u.Name, size})
	}
	for _, e := range entries {
		name := e.Name()
		data, new := rewritten[name]
		delete(rewritten, name)
		info, err := e.Info()
		switch {
		case err != nil:
			return nil, fmt.Errorf("publish: %w", err)
		case new:
			add(hub.Upload{Name: name, Data: data}, int64(len(data)))
		case info.Mode()&os.ModeSymlink != 0 && isSendable(name):
			return nil, fmt.Errorf("publish: %s is a link, which may lead to any file of this machine, "+
				"so haf push does not send it: copy the folder with cp -rL %s COPY, look at what is in "+
				"it, and push COPY", filepath.Join(dir, name), dir)
		case info.Mode().IsRegular() && isSendable(name):
			add(hub.Upload{Name: name, Path: filepath.Join(dir, name)}, info.Size())
		default:
			out.LeftOut = append(out.LeftOut, name)
		}
	}
	for name, data := range rewritten {
		add(hub.Upload{Name: name, Data: data}, int64(len(data)))
	}
	return files, nil
}

func isSendable(name string) bool {
	return slices.ContainsFunc(sendable, func(pattern string) bool {
		ok, _ := path.Match(pattern, name) // the patterns are valid
		return ok
	})
}

// rewrite returns the files that are sent with other contents: the card, unless it was edited, and
// files that name the base by its folder.
func (f facts) rewrite(dir string, o Options, out *Sent) (map[string][]byte, error) {
	f.baseID = o.Base
	base, _, name := f.base()
	files := map[string][]byte{}
	if own, err := isOwn(filepath.Join(dir, CardName)); err != nil {
		return nil, err
	} else if own {
		text, err := f.card(path.Base(o.ID), o.ID)
		if err != nil {
			return nil, err
		}
		files[CardName] = []byte(text)
	} else {
		out.Messages = append(out.Messages, CardName+" was edited, so it is sent as it is")
	}
	if base == "" && f.adapter {
		return nil, fmt.Errorf("publish: the base of this adapter, %s, is a folder of this "+
			"machine: "+
			"name its id with -base org/name, or push what haf merge writes", f.meta.Base)
	}
	if base == "" && f.meta.Base != "" {
		base = name
		out.Messages = append(out.Messages, "haf.json names the base as "+name+
			": others need that model on disk for the implicit reward; -base gives its id")
	}
	for file, key := range map[string]string{"haf.json": "base",
		adapterConfig: "base_model_name_or_path"} {
		data, err := withValue(filepath.Join(dir, file), key, base)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[file] = data
	}
	return files, nil
}

// withValue returns a JSON file with another value for a key. Other values keep their digits.
func withValue(path, key, value string) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := readJSON(path, &object); err != nil {
		return nil, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	object[key] = text
	out, err := json.MarshalIndent(object, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("publish: %s: %w", path, err)
	}
	return append(out, '\n'), nil
}

// Write lists the files.
func (s Sent) Write(w io.Writer) error {
	var b strings.Builder
	total := int64(0)
	for _, f := range s.Files {
		fmt.Fprintf(&b, "%14d  %s\n", f.Size, f.Name)
		total += f.Size
	}
	verb := "sent to"
	if s.DryRun {
		verb = "would go to"
	}
	fmt.Fprintf(&b, "%14d  bytes %s %s\n", total, verb, s.ID)
	if len(s.LeftOut) > 0 {
		fmt.Fprintf(&b, "left out: %s\n", strings.Join(s.LeftOut, ", "))
	}
	if s.URL != "" {
		fmt.Fprintf(&b, "%s\n", s.URL)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
