package backend

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tinyWheel makes a wheel whose plug-in is a few bytes, and a python3 in PATH whose pip hands it
// out. The script behaves as pip at the few calls that Setup makes; mood makes it fail in one of
// pip's ways.
func tinyWheel(t *testing.T, mood string) wheel {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("wheels are for linux/amd64")
	}
	home := emptyHome(t)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"tiny/__init__.py": "",
		"tiny/pjrt_c_api_cpu_plugin.so": "a tiny plug-in"} {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "tiny-1.0-py3-none-any.whl")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
mood="` + mood + `"
[ "$1 $2" = "-m pip" ] || { echo "unexpected: $*" >&2; exit 2; }
[ "$mood" = nopip ] && { echo "/usr/bin/python3: No module named pip" >&2; exit 1; }
[ "$3" = --version ] && { echo "pip 24.0"; exit 0; }
case "$mood" in
offline) echo "WARNING: Retrying after connection broken by 'NewConnectionError': Temporary failure in name resolution" >&2
	echo "ERROR: No matching distribution found for tiny==1.0" >&2; exit 1 ;;
absent) echo "ERROR: No matching distribution found for tiny==1.0" >&2; exit 1 ;;
full) echo "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device" >&2; exit 1 ;;
strange) echo "noise" >&2; echo "ERROR: the sky fell" >&2; exit 1 ;;
hang) exec /bin/sleep 60 ;;
esac
verb=$3
while [ $# -gt 0 ]; do
	case "$1" in
	--dest) dest=$2 ;;
	--target) target=$2 ;;
	esac
	last=$1
	shift
done
if [ "$verb" = download ]; then
	[ "$last" = "tiny==1.0" ] || { echo "ERROR: asked for $last" >&2; exit 1; }
	/bin/mkdir -p "$dest" && /bin/cp "` + file + `" "$dest/"
else
	echo "Collecting $last"
	/bin/mkdir -p "$target/nvidia/cu13/lib" && echo library >"$target/nvidia/cu13/lib/libcudart.so.13"
fi
`
	bin := filepath.Join(home, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if mood != "nopython" {
		if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256(b.Bytes())
	return wheel{
		name: "tiny", version: "1.0", about: "tiny", file: filepath.Base(file),
		sha256: hex.EncodeToString(sum[:]),
		member: "tiny/pjrt_c_api_cpu_plugin.so", dest: "pjrt_c_api_cpu_plugin.so", kind: KindCPU,
	}
}

// trial is a setup that finds nothing and whose other installer fails; every plug-in works.
func trial(w wheel, log *bytes.Buffer) *setup {
	return &setup{
		log: log, kind: KindCPU, wheel: w,
		find:  func(string) ([]Plugin, error) { return nil, nil },
		works: func(context.Context, Plugin) error { return nil },
		other: func(string) ([]Plugin, error) { return nil, errors.New("unreachable") },
		gpu:   func() bool { return true },
	}
}

func TestSetupInstallsWheel(t *testing.T) {
	w := tinyWheel(t, "")
	var log bytes.Buffer
	for range 2 { // the second replaces the first
		p, err := trial(w, &log).run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		root, _ := cacheRoot()
		want := Plugin{filepath.Join(root, "tiny-1.0", "pjrt_c_api_cpu_plugin.so"), KindCPU, "1.0",
			"installed by haf"}
		if p != want {
			t.Errorf("plug-in %+v, want %+v", p, want)
		}
		text, err := os.ReadFile(p.Path)
		if err != nil || string(text) != "a tiny plug-in" {
			t.Errorf("the plug-in holds %q, %v", text, err)
		}
		left, _ := filepath.Glob(filepath.Join(root, "*"))
		if len(left) != 1 {
			t.Errorf("the cache folder holds %v, want the package alone", left)
		}
		found, err := Find("cpu")
		if err != nil || len(found) == 0 || found[0] != want {
			t.Errorf("Find: %+v, %v, want %+v first", found, err, want)
		}
	}
}

// The layout for CUDA: the libraries that pip installs lie where the plug-in looks for them.
func TestSetupInstallsBeside(t *testing.T) {
	w := tinyWheel(t, "")
	w.kind, w.dest, w.beside = KindCUDA, "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
		[]string{"nvidia-something<14"}
	var log bytes.Buffer
	p, err := trial(w, &log).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.Kind != KindCUDA || p.Version != "1.0" {
		t.Errorf("plug-in %+v", p)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(p.Path), "..", "..", "nvidia", "cu13", "lib",
		"libcudart.so.13")); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "Collecting nvidia-something<14") {
		t.Errorf("pip's progress is not told: %q", log.String())
	}
}

// Without a GPU nothing is fetched: the package could not be tried out.
func TestSetupCUDAWithoutGPU(t *testing.T) {
	var log bytes.Buffer
	s := trial(tinyWheel(t, ""), &log)
	s.kind, s.gpu = KindCUDA, func() bool { return false }
	_, err := s.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no NVIDIA GPU") ||
		strings.Contains(log.String(), "installing") {
		t.Errorf("error %v, told %q, want an early end", err, log.String())
	}
}

func TestOneLine(t *testing.T) {
	long := oneLine(fmt.Errorf("begin %s\n the cause", strings.Repeat("ä ", 500)))
	if !strings.HasPrefix(long, "begin ") || !strings.HasSuffix(long, " the cause") ||
		len([]rune(long)) > 330 || strings.Contains(long, "\n") {
		t.Errorf("%q", long)
	}
}

func TestSetupFailures(t *testing.T) {
	for _, c := range []struct{ mood, want string }{
		{"nopython", "no python3 in PATH: install Python 3"},
		{"nopip", "has no pip: install it"},
		{"offline", "cannot reach its package index"},
		{"absent", "finds no tiny==1.0 for this machine"},
		{"full", "the disk is full"},
		{"strange", "ERROR: the sky fell"},
	} {
		w := tinyWheel(t, c.mood)
		var log bytes.Buffer
		_, err := trial(w, &log).run(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "unreachable") {
			t.Errorf("%s: error %v, want %q and the other installer's in it", c.mood, err, c.want)
		}
		if !strings.Contains(log.String(), c.want) ||
			!strings.Contains(log.String(), "go-xla's installer: unreachable") {
			t.Errorf("%s: told %q", c.mood, log.String())
		}
		root, _ := cacheRoot()
		if left, _ := filepath.Glob(filepath.Join(root, "*")); len(left) != 0 {
			t.Errorf("%s: left behind: %v", c.mood, left)
		}
	}
}

func TestSetupRefusesWrongHash(t *testing.T) {
	w := tinyWheel(t, "")
	w.sha256 = strings.Repeat("0", 64)
	_, err := trial(w, new(bytes.Buffer)).run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "has the sha256") {
		t.Errorf("error %v, want one about the hash", err)
	}
	w.file = "tiny-1.0-other.whl"
	if _, err = trial(w, new(bytes.Buffer)).run(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "not the file tiny-1.0-other.whl") {
		t.Errorf("error %v, want one about the file's name", err)
	}
	if found, err := Find("cpu"); err != nil || len(found) > 0 &&
		found[0].Origin == "installed by haf" {
		t.Errorf("installed all the same: %+v, %v", found, err)
	}
}

func TestSetupOrder(t *testing.T) {
	w := tinyWheel(t, "")
	bad := Plugin{"/bad/pjrt_c_api_cpu_plugin.so", KindCPU, "", "by hand"}
	good := Plugin{"/good/pjrt_c_api_cpu_plugin.so", KindCPU, "", "by hand"}
	last := Plugin{"/last/pjrt_c_api_cpu_plugin.so", KindCPU, "", "installed by go-xla"}
	refuse := func(names ...string) func(context.Context, Plugin) error {
		return func(_ context.Context, p Plugin) error {
			for _, name := range names {
				if strings.Contains(p.Path, name) {
					return fmt.Errorf("%s is broken", p.Path)
				}
			}
			return nil
		}
	}
	var log bytes.Buffer
	s := trial(w, &log)
	s.find = func(string) ([]Plugin, error) { return []Plugin{bad, good}, nil }
	s.other = func(string) ([]Plugin, error) { return []Plugin{last}, nil }
	s.works = refuse("/bad/")
	if p, err := s.run(t.Context()); err != nil || p != good {
		t.Errorf("%+v, %v, want the installed one that works", p, err)
	}
	s.works = refuse("/bad/", "/good/")
	if p, err := s.run(t.Context()); err != nil || p.Version != "1.0" {
		t.Errorf("%+v, %v, want the wheel's", p, err)
	}
	s.works = refuse("/bad/", "/good/", "tiny")
	if p, err := s.run(t.Context()); err != nil || p != last {
		t.Errorf("%+v, %v, want the other installer's", p, err)
	}
	if n := strings.Count(log.String(), "/bad/pjrt_c_api_cpu_plugin.so is broken\n"); n != 3 {
		t.Errorf("the broken one is told %d times in three runs:\n%s", n, log.String())
	}
}

func TestSetupCancelled(t *testing.T) {
	w := tinyWheel(t, "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := trial(w, new(bytes.Buffer)).run(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("error %v after %v, want the context's at once", err, time.Since(start))
	}
	ctx, cancel = context.WithCancel(t.Context())
	s := trial(tinyWheel(t, "absent"), new(bytes.Buffer))
	s.other = func(string) ([]Plugin, error) { cancel(); time.Sleep(time.Minute); return nil, nil }
	if _, err := s.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestDiskErrors(t *testing.T) {
	for err, want := range map[error]string{
		&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}: "is full (tiny)",
		&fs.PathError{Op: "mkdir", Path: "x", Err: syscall.EACCES}: "XDG_CACHE_HOME",
	} {
		if got := (wheel{about: "tiny"}).onDisk("/cache", err); !strings.Contains(got.Error(), want) ||
			!errors.Is(got, err) {
			t.Errorf("%v: %v, want %q in it", err, got, want)
		}
	}
}

// TestMain probes plug-ins where the tests have started this program for that.
func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// TestImportEndsNothing starts a program that imports this package without calling Main, as a child
// that should probe a plug-in: it runs to its own end.
func TestImportEndsNothing(t *testing.T) {
	cmd := exec.Command("go", "run", "./testdata/imports")
	cmd.Env = append(os.Environ(), probeEnv+"=/no/plug-in.so", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "its own main") {
		t.Errorf("%v: %s", err, out)
	}
}

// The child process that probes a plug-in: a good one passes; one that is no library does not, nor
// one that takes its process down, which must not be this one.
func TestWorks(t *testing.T) {
	if !xlaSupported {
		t.Skip(xlaMissing)
	}
	if plugins, err := Find("cpu"); err == nil && len(plugins) > 0 {
		if err := works(t.Context(), plugins[0]); err != nil {
			t.Error(err)
		}
	}
	bad := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	if err := os.WriteFile(bad, []byte("no library"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := works(t.Context(), Plugin{Path: bad, Kind: KindCPU})
	if err == nil || !strings.Contains(err.Error(), "does not work") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line about %s", err, bad)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := works(ctx, Plugin{Path: bad, Kind: KindCPU}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

// TestOtherPlugins probes and opens libraries that are no plug-ins that haf can use: what is wrong
// is said, and one that ends its process ends the child's.
func TestOtherPlugins(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if !xlaSupported || err != nil {
		t.Skipf("plug-ins cannot be built here: %s %v", xlaMissing, err)
	}
	const head = "#include <stddef.h>\n#include <stdlib.h>\nstruct { size_t size; void* e; " +
		"size_t n; void* f; int major, minor; void* functions[200]; } api = {%s};\n" +
		"void* GetPjrtApi(void) {%s}\n"
	for name, c := range map[string]struct{ code, want string }{
		"crashes when it is loaded": {"#include <stdlib.h>\n__attribute__((constructor)) static void " +
			"load(void) { abort(); }\n", "does not work"},
		"crashes when it is called": {fmt.Sprintf(head, "0", "abort();"), "does not work"},
		"another library":           {"int f(void) { return 1; }\n", "no function GetPjrtApi"},
		"nothing":                   {fmt.Sprintf(head, "0", "return NULL;"), "returns nothing"},
		"cut off":                   {fmt.Sprintf(head, "8", "return &api;"), "is cut off"},
		"later": {fmt.Sprintf(head, "sizeof(api), NULL, 24, NULL, 7, 3", "return &api;"),
			"has version 7.3 of the PJRT interface, want 0.x; install another with: haf setup"},
	} {
		path := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
		build := exec.Command(cc, "-shared", "-fPIC", "-x", "c", "-o", path, "-")
		build.Stdin = strings.NewReader(c.code)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		err := works(t.Context(), Plugin{Path: path, Kind: KindCPU})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(name, "crashes") {
			continue // this process, too
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s, opened: %v", name, err)
		}
	}
}
