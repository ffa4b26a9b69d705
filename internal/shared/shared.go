// Package shared finds test material that is not part of the repository: stored values, models and
// preference data beside the checkout. Tests without their material are skipped.
package shared

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Path returns the path of name in the folder of shared material: $HAF_SHARED, else ../shared
// beside the checkout. It skips the test with a message if the path does not exist.
func Path(t testing.TB, name string) string {
	t.Helper()
	return orSkip(t, filepath.Join(dir(), filepath.FromSlash(name)), "shared material is not beside "+
		"this checkout")
}

// Golden returns the path of a file of stored values: in $HAF_GOLDEN, which may hold other values
// of the same form, else in the shared material.
func Golden(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv("HAF_GOLDEN"); dir != "" {
		return orSkip(t, filepath.Join(dir, filepath.FromSlash(name)), "HAF_GOLDEN does not have it")
	}
	return Path(t, "golden/"+name)
}

// Model returns the folder of a model that `make models` stored in the user's cache.
func Model(t testing.TB, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no cache folder: %v", err)
	}
	return orSkip(t, filepath.Join(cache, "haf", "models", name), "run `make models` first")
}

// Cases returns the folders with a stored case (expected.json), including adapters': those below
// $HAF_GOLDEN; else the repository's own and, if the shared material exists, its models that the
// repository lacks.
func Cases(t testing.TB) []string {
	t.Helper()
	roots := []string{os.Getenv("HAF_GOLDEN")}
	if roots[0] == "" {
		roots = []string{filepath.Join(Root(), "lm", "testdata")}
		if golden := filepath.Join(dir(), "golden", "models"); exists(golden) {
			roots = append(roots, golden)
		}
	}
	var cases []string
	seen := map[string]bool{} // by their values
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.Name() != "expected.json" {
				return err
			}
			data, err := os.ReadFile(path)
			if err == nil && !seen[string(data)] {
				seen[string(data)] = true
				cases = append(cases, filepath.Dir(path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(cases) == 0 {
		t.Fatalf("no expected.json below %v", roots)
	}
	return cases
}

// CaseDevice is the device for a stored case: $HAF_DEVICE, as in make parity. By default it is the
// fastest device for the plain Llama and its adapter, and pure Go for all others, which needs no
// compilation and runs small programs as fast.
func CaseDevice(dir string) string {
	if name := os.Getenv("HAF_DEVICE"); name != "" {
		return name
	}
	if strings.Contains(filepath.ToSlash(dir)+"/", "/lm/testdata/llama/") {
		return "auto"
	}
	return "go"
}

// Root is the folder of the module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

func dir() string {
	if dir := os.Getenv("HAF_SHARED"); dir != "" {
		return dir
	}
	return filepath.Join(Root(), "..", "shared")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func orSkip(t testing.TB, path, why string) string {
	t.Helper()
	if !exists(path) {
		t.Skipf("%s: not found: %s", path, why)
	}
	return path
}

// Foreign returns the folders of reward models from other programs, each with the rewards that
// transformers computes for conversations: those below $HAF_GOLDEN; else the repository's own and,
// if the shared material exists, the others there.
func Foreign(t testing.TB) []string {
	t.Helper()
	pattern := func(root string) []string {
		found, err := filepath.Glob(filepath.Join(root, "foreign", "*", "expected.json"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			found[i] = filepath.Dir(found[i])
		}
		return found
	}
	if root := os.Getenv("HAF_GOLDEN"); root != "" {
		found := pattern(root)
		if len(found) == 0 {
			t.Skipf("HAF_GOLDEN=%s has no foreign/NAME/expected.json", root)
		}
		return found
	}
	cases := pattern(filepath.Join(Root(), "reward", "testdata"))
	own := map[string]bool{}
	for _, dir := range cases {
		own[filepath.Base(dir)] = true
	}
	for _, dir := range pattern(filepath.Join(dir(), "golden")) {
		if !own[filepath.Base(dir)] {
			cases = append(cases, dir)
		}
	}
	return cases
}
