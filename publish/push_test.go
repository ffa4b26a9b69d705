package publish_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/hub"
	"haf/publish"
)

// TestDryRun lists the files of the model alone, and refuses an adapter whose base nobody else has.
func TestDryRun(t *testing.T) {
	files := runFiles()
	files["model/training.log"] = "x"
	files["checkpoints/step-000001/trained.safetensors"] = "x"
	o := publish.Options{ID: "org/name", DryRun: true}
	sent, err := publish.Push(t.Context(), &hub.Client{}, folder(t, files), o)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range sent.Files {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "README.md config.json haf.json model.safetensors" {
		t.Errorf("it would send %s", got)
	}
	if !slices.Equal(sent.LeftOut, []string{"training.log"}) {
		t.Errorf("left out: %v", sent.LeftOut)
	}
	adapter := map[string]string{"adapter_config.json": `{"base_model_name_or_path":"/home/me/base"}`,
		"haf.json": `{"base":"/home/me/base","heads":["score"]}`}
	_, err = publish.Push(t.Context(), &hub.Client{}, folder(t, adapter), o)
	if err == nil || !strings.Contains(err.Error(), "-base org/name") {
		t.Errorf("%v", err)
	}
	o.Base = "org/base"
	if _, err := publish.Push(t.Context(), &hub.Client{}, folder(t, adapter), o); err != nil {
		t.Error(err)
	}
}

// TestRefused names the flag's value that is no id and no branch, before anything is read, and
// sends no link.
func TestRefused(t *testing.T) {
	dir := folder(t, runFiles())
	for _, c := range []struct {
		o    publish.Options
		want string
	}{
		{publish.Options{ID: "org/name", Revision: "../../x"}, `"../../x" is no name of a branch`},
		{publish.Options{ID: "org/name", Revision: "a\nb"}, `"a\nb" is no name of a branch`},
		{publish.Options{ID: "org/name", Base: "org/x\nlicense: mit"}, "is no id: want org/name"},
		{publish.Options{ID: "org/name", Base: "datasets/org/x"}, "is no id: want org/name"},
		{publish.Options{ID: "org/name", Base: "org/x@v1"}, "is no id: want org/name"},
		{publish.Options{ID: "org/name\nx"}, "is no id"},
	} {
		c.o.DryRun = true
		_, err := publish.Push(t.Context(), &hub.Client{}, dir, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.o, err, c.want)
		}
	}
	secret := filepath.Join(t.TempDir(), "id_ed25519")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "model", "LICENSE")
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	o := publish.Options{ID: "org/name", DryRun: true}
	_, err := publish.Push(t.Context(), &hub.Client{}, dir, o)
	if err == nil || !strings.Contains(err.Error(), link+" is a link") {
		t.Errorf("a link to a secret: %v", err)
	}
}

// TestPushed sends no path of this machine, in no file.
func TestPushed(t *testing.T) {
	var sent []string
	hubStandIn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch {
		case strings.Contains(r.URL.Path, "/preupload/"):
			var q struct{ Files []struct{ Path string } }
			if err := json.Unmarshal(body, &q); err != nil {
				t.Error(err)
			}
			var files []string
			for _, f := range q.Files {
				files = append(files, `{"uploadMode":"regular","path":"`+f.Path+`"}`)
			}
			fmt.Fprintf(w, `{"files":[%s]}`, strings.Join(files, ","))
		case strings.Contains(r.URL.Path, "/commit/"):
			for line := range strings.Lines(string(body)) {
				var l struct{ Value struct{ Content []byte } }
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Error(err)
				}
				sent = append(sent, string(l.Value.Content))
			}
			fmt.Fprint(w, `{"commitUrl":"http://x"}`)
		default:
			fmt.Fprint(w, `{"url":"http://x"}`)
		}
	}))
	defer hubStandIn.Close()
	t.Setenv("HF_ENDPOINT", hubStandIn.URL)
	t.Setenv("HF_TOKEN", "t")
	t.Setenv("HF_HUB_OFFLINE", "")
	client, err := hub.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	options := publish.Options{ID: "org/name", Base: "org/other"}
	if _, err := publish.Push(t.Context(), client, folder(t, runFiles()), options); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(sent, "\n")
	if len(sent) != 5 || strings.Contains(all, "/home") || strings.Contains(all, "secret") ||
		!strings.Contains(all, `MODEL = "org/name"`) || !strings.Contains(all,
		`"base": "org/other"`) ||
		!strings.Contains(all, "base_model: org/other\n") {
		t.Errorf("%d lines:\n%s", len(sent), all)
	}
}
