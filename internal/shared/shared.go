// Package shared finds, for the tests alone, the material that is not part of the repository: stored values,
// models and preference data beside the checkout. A test that needs it is skipped where it is missing.
package shared

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Path returns the path of name inside the folder of shared material: $HAF_SHARED, else ../shared beside the
// checkout. The test is skipped, saying so, where it does not exist.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("HAF_SHARED")
	if dir == "" {
		dir = filepath.Join(Root(), "..", "shared")
	}
	return orSkip(t, filepath.Join(dir, filepath.FromSlash(name)), "shared material is not beside this checkout")
}

// Golden returns the path of a file of stored values: in $HAF_GOLDEN, which may hold other values of the same form, else
// in the shared material.
func Golden(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv("HAF_GOLDEN"); dir != "" {
		return orSkip(t, filepath.Join(dir, filepath.FromSlash(name)), "HAF_GOLDEN does not have it")
	}
	return Path(t, "golden/"+name)
}

// Model returns the folder of a fetched model, kept under the user's cache folder by `make models`.
func Model(t testing.TB, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no cache folder: %v", err)
	}
	return orSkip(t, filepath.Join(cache, "haf", "models", name), "run `make models` first")
}

// Root is the folder of the module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

func orSkip(t testing.TB, path, why string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s: not found: %s", path, why)
	}
	return path
}
