package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const hubCommit = "0123456789abcdef0123456789abcdef01234567"

// hubCommand starts a stand-in for the hub that serves DIR/models/org/name and
// DIR/datasets/org/name, and points the programs of the script at it. With "halting" it sends half
// of each safetensors file and no more.
func hubCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: hub DIR [halting]")
	}
	server := httptest.NewServer(hubHandler(ts.MkAbs(args[0]), len(args) > 1))
	ts.Defer(func() {
		server.CloseClientConnections()
		server.Close()
	})
	ts.Setenv("HF_ENDPOINT", server.URL)
	ts.Setenv("HF_HUB_OFFLINE", "")
}

// hubHandler answers as the hub does, with the repositories of a folder.
func hubHandler(root string, halting bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/api/"); ok {
			repo, _, _ := strings.Cut(rest, "/revision/")
			type file struct {
				Name string `json:"rfilename"`
			}
			var files []file
			dir := filepath.Join(root, filepath.FromSlash(repo))
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					name, _ := filepath.Rel(dir, path)
					files = append(files, file{filepath.ToSlash(name)})
				}
				return nil
			})
			if files == nil {
				w.Header().Set("X-Error-Code", "RepoNotFound")
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"sha": hubCommit, "siblings": files})
			return
		}
		repo, name, _ := strings.Cut(r.URL.Path[1:], "/resolve/"+hubCommit+"/")
		if !strings.HasPrefix(repo, "datasets/") {
			repo = "models/" + repo
		}
		content, err := os.ReadFile(filepath.Join(root, repo, filepath.FromSlash(name)))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(content))))
		if halting && strings.HasSuffix(name, ".safetensors") && r.Method == http.MethodGet {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = w.Write(content[:len(content)/2])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}

// stopFetch runs a command until something is in an .incomplete file of the cache, sends it an
// interrupt, and wants its exit code.
func stopFetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: stopfetch command …")
	}
	program, err := exec.LookPath(args[0])
	ts.Check(err)
	var stderr bytes.Buffer
	cmd := exec.Command(program, args[1:]...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), &stderr
	cmd.Env = os.Environ()
	for _, name := range []string{"HAF_DEVICE", "XDG_CACHE_HOME", "HF_HOME", "HF_ENDPOINT",
		"HF_HUB_OFFLINE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for signalled := false; ; {
		select {
		case <-done:
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
				ts.Fatalf("exit code %d, want %d\n%s", code, exitInterrupted, stderr.String())
			}
			ts.Check(os.WriteFile(ts.MkAbs("stderr"), stderr.Bytes(), 0o644))
			return
		case <-time.After(5 * time.Millisecond):
			parts, err := filepath.Glob(filepath.Join(ts.Getenv("HF_HOME"), "hub", "*", "blobs",
				"*.incomplete"))
			ts.Check(err)
			if !signalled && len(parts) > 0 {
				if info, err := os.Stat(parts[0]); err == nil && info.Size() > 10_000 { // of the weights
					ts.Check(cmd.Process.Signal(os.Interrupt))
					signalled = true
				}
			}
		}
	}
}

// rebase writes another base into an adapter's configuration.
func rebase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: rebase FILE BASE")
	}
	var config map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &config))
	config["base_model_name_or_path"] = args[1]
	data, err := json.Marshal(config)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}
