package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// A Plugin is an XLA plug-in on disk.
type Plugin struct {
	Path    string `json:"path"`    // absolute, of the shared library
	Kind    string `json:"kind"`    // KindCPU or KindCUDA
	Version string `json:"version"` // of its package, "" if unknown
	Origin  string `json:"origin"`  // where it was found, in words
}

// pluginPathEnv is the user's list of folders or plug-in files, searched before every other place.
const pluginPathEnv = "PJRT_PLUGIN_LIBRARY_PATH"

var (
	libraryNames = []*regexp.Regexp{
		regexp.MustCompile(`^pjrt_c_api_(.+)_plugin\.(so|dylib)$`),
		regexp.MustCompile(`^pjrt[-_]plugin[-_](.+)\.(so|dylib)$`),
		regexp.MustCompile(`^xla_(cuda)_plugin\.(so)$`), // as JAX's wheels name it
	}
	versionInName = regexp.MustCompile(`v?(\d+\.\d+(\.\d+)*)`)
	versionAtEnd  = regexp.MustCompile(`-(\d+(\.\d+)+)$`)
)

// Find lists the installed plug-ins of a kind ("cpu", "cuda", or "" for all), CUDA first. Within a
// kind it follows the order of the places searched: $PJRT_PLUGIN_LIBRARY_PATH, haf's cache folder,
// the folders of go-xla's installer, and Python's package folders. A listed plug-in may still fail:
// [Open] and [Setup] try it.
func Find(kind string) ([]Plugin, error) {
	want := kindOf(kind)
	if want == "" && kind != "" {
		return nil, fmt.Errorf("backend: unknown kind of plug-in %q: want cpu or cuda", kind)
	}
	var found []Plugin
	seen := map[string]bool{}
	for _, place := range places() {
		paths, err := libraries(place.path)
		if err != nil {
			return nil, fmt.Errorf("backend: search for plug-ins in %s: %w", place.path, err)
		}
		for _, path := range paths {
			p, err := pluginAt(path, place.origin)
			if err != nil || want != "" && p.Kind != want {
				continue // for another sort of device, or a dangling link
			}
			real, err := filepath.EvalSymlinks(path)
			if err != nil || seen[real] {
				continue
			}
			seen[real] = true
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b Plugin) int {
		return strings.Compare(b.Kind, a.Kind) // "xla-cuda" before "xla-cpu"
	})
	return found, nil
}

// pluginAt describes the plug-in at an absolute path.
func pluginAt(path, origin string) (Plugin, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Plugin{}, fmt.Errorf("backend: plug-in: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Plugin{}, fmt.Errorf("backend: plug-in %s is not a file: give the path of the .so itself",
			path)
	}
	kind := kindOfFile(path)
	if kind == "" {
		return Plugin{}, fmt.Errorf("backend: plug-in %s: its name does not show its kind: want a file "+
			"like pjrt_c_api_cpu_plugin.so or pjrt_c_api_cuda_plugin.so", path)
	}
	return Plugin{Path: path, Kind: kind, Version: versionOf(path), Origin: origin}, nil
}

func isLibrary(path string) bool {
	return strings.HasSuffix(path, ".so") || strings.HasSuffix(path, ".dylib")
}

// kindOf turns a user's word into a kind, or "" if it names none.
func kindOf(name string) string {
	switch name {
	case "cpu", KindCPU:
		return KindCPU
	case "cuda", "gpu", KindCUDA:
		return KindCUDA
	}
	return ""
}

// kindOfFile reads the kind from the file's base name, not from its folder.
func kindOfFile(path string) string {
	name := strings.ToLower(filepath.Base(path))
	switch {
	case !isLibrary(name):
		return ""
	case strings.Contains(name, "cuda") || strings.Contains(name, "nvidia"):
		return KindCUDA
	case strings.Contains(name, "cpu"):
		return KindCPU
	}
	return ""
}

// versionOf reads the version from the file's name or that of a link's target
// (pjrt_c_api_cpu_v0.83.1_plugin.so), from haf's folder (name-0.11.2), or from the metadata folder
// that pip leaves beside the package.
func versionOf(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		if m := versionInName.FindStringSubmatch(filepath.Base(real)); m != nil {
			return m[1]
		}
	}
	dir := filepath.Dir(path)
	for range 3 {
		if m := versionAtEnd.FindStringSubmatch(filepath.Base(dir)); m != nil {
			return m[1]
		}
		dir = filepath.Dir(dir)
	}
	if m := pipPackage.FindStringSubmatch(filepath.ToSlash(path)); m != nil {
		pkg := "lammps_jax_pjrt_cpu"
		if m[2] != "" {
			pkg = "jax_" + m[2] + "_pjrt"
		}
		infos, _ := filepath.Glob(filepath.Join(filepath.FromSlash(m[1]), pkg+"-*.dist-info"))
		if len(infos) == 1 {
			return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(infos[0]), pkg+"-"), ".dist-info")
		}
	}
	return ""
}

var pipPackage = regexp.MustCompile(
	`^(.*)/(?:lammps_jax_pjrt_cpu|jax_plugins/xla_(cuda\d*))/[^/]+$`)

// A place is a folder that may hold plug-ins, or one plug-in.
type place struct{ path, origin string }

func places() []place {
	var list []place
	for _, dir := range filepath.SplitList(os.Getenv(pluginPathEnv)) {
		if filepath.IsAbs(dir) {
			list = append(list, place{dir, "from $" + pluginPathEnv})
		}
	}
	if root, err := cacheRoot(); err == nil {
		// Both depths to which Setup unpacks; the newest name first.
		var dirs []string
		for _, pattern := range []string{"*", "*/jax_plugins/*"} {
			m, _ := filepath.Glob(filepath.Join(root, pattern))
			slices.Reverse(m)
			dirs = append(dirs, m...)
		}
		for _, dir := range dirs {
			if !strings.Contains(filepath.ToSlash(dir), "/"+unfinished) {
				list = append(list, place{dir, "installed by haf"})
			}
		}
	}
	for _, dir := range goXLAFolders() {
		list = append(list, place{dir, "installed by go-xla"})
	}
	for _, site := range sitePackages() {
		cuda, _ := filepath.Glob(filepath.Join(site, "jax_plugins", "xla_cuda*"))
		slices.Reverse(cuda)
		for _, dir := range append(cuda, filepath.Join(site, "lammps_jax_pjrt_cpu")) {
			list = append(list, place{dir, "installed by pip"})
		}
	}
	return list
}

// libraries lists the plug-ins directly inside a folder, sorted. A folder that is missing or
// unreadable has none. The path of a file stands for that file.
func libraries(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		return nil, nil
	case err != nil:
		if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() {
			if isLibrary(path) {
				return []string{path}, nil
			}
			return nil, nil
		}
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if slices.ContainsFunc(libraryNames,
			func(re *regexp.Regexp) bool { return re.MatchString(e.Name()) }) {
			paths = append(paths, filepath.Join(path, e.Name()))
		}
	}
	return paths, nil
}

// cacheRoot is the folder under which Setup installs each package and version in a folder.
func cacheRoot() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("backend: no cache folder: %w: set XDG_CACHE_HOME or HOME", err)
	}
	return filepath.Join(cache, "haf", "pjrt"), nil
}

func goXLAFolders() []string {
	var dirs []string
	add := func(lib string) {
		dirs = append(dirs, filepath.Join(lib, "go-xla"), filepath.Join(lib, "go-xla", "nvidia"),
			filepath.Join(lib, "gomlx", "pjrt"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		if runtime.GOOS == "darwin" {
			add(filepath.Join(home, "Library", "Application Support"))
		}
		add(filepath.Join(home, ".local", "lib"))
	}
	if runtime.GOOS != "windows" {
		add("/usr/local/lib")
	}
	return dirs
}

// sitePackages guesses Python's package folders from the environment and the file system. Asking
// Python itself would add tens of milliseconds to every start.
func sitePackages() []string {
	var prefixes []string
	for _, env := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := os.Getenv(env); filepath.IsAbs(dir) {
			prefixes = append(prefixes, dir)
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		prefixes = append(prefixes, filepath.Join(home, ".local"))
	}
	if python, err := exec.LookPath("python3"); err == nil && filepath.IsAbs(python) {
		prefixes = append(prefixes, filepath.Dir(filepath.Dir(python)))
		if real, err := filepath.EvalSymlinks(python); err == nil {
			prefixes = append(prefixes, filepath.Dir(filepath.Dir(real)))
		}
	}
	if runtime.GOOS != "windows" {
		prefixes = append(prefixes, "/usr/local", "/usr")
	}
	var dirs []string
	for _, prefix := range prefixes {
		for _, name := range []string{"site-packages", "dist-packages"} {
			m, _ := filepath.Glob(filepath.Join(prefix, "lib", "python3*", name))
			slices.Reverse(m)
			for _, dir := range m {
				if !slices.Contains(dirs, dir) {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	return dirs
}

// hasGPU reports whether the kernel shows an NVIDIA device; under Windows it is /dev/dxg.
func hasGPU() bool {
	for _, pattern := range []string{"/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/dxg"} {
		if m, _ := filepath.Glob(pattern); len(m) > 0 {
			return true
		}
	}
	return false
}
