package backend

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// A wheel is a pinned Python package that holds a plug-in.
type wheel struct {
	name, version string
	about         string // sizes, shown before the download
	file          string // the wheel's own name
	sha256        string // of that file, lower-case hexadecimal
	member        string // the plug-in inside it, with slashes
	dest          string // where it is unpacked, below the package's folder, with slashes
	kind          string
	beside        []string // requirements that pip installs beside it
}

var cpuWheel = wheel{
	name:    "lammps-jax-pjrt-cpu",
	version: "0.11.2",
	about:   "63 MB to fetch, 202 MB on disk",
	file:    "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
	sha256:  "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
	member:  "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
	dest:    "pjrt_c_api_cpu_plugin.so",
	kind:    KindCPU,
}

// cudaWheel is unpacked in the layout of Python's package folder, because the plug-in looks for
// NVIDIA's libraries in ../../nvidia. The version bounds are those of JAX's own CUDA 13 package,
// limited to the present major version. pip checks these packages against its index; this program
// has no hashes for them.
var cudaWheel = wheel{
	name:    "jax-cuda13-pjrt",
	version: "0.11.2",
	about:   "134 MB, and 2.4 GB of NVIDIA's libraries; about 4 GB on disk",
	file:    "jax_cuda13_pjrt-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
	sha256:  "e5ff589d43064913bb74027682d89639c7ea48f9f81c2bae6fc75117e913f93e",
	member:  "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
	dest:    "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
	kind:    KindCUDA,
	beside: []string{
		"nvidia-cublas>=13.0.0.19,<14",
		"nvidia-cuda-cupti>=13.0.48,<14",
		"nvidia-cuda-nvcc>=13.0.48,<14",
		"nvidia-cuda-nvrtc>=13.0.48,<14",
		"nvidia-cuda-runtime>=13.0.48,<14",
		"nvidia-cudnn-cu13>=9.12.0.46,<10",
		"nvidia-cufft>=12.0.0.15,<13",
		"nvidia-cusolver>=12.0.3.29,<13",
		"nvidia-cusparse>=12.6.2.49,<13",
		"nvidia-nccl-cu13>=2.27.7,<3",
		"nvidia-nvjitlink>=13.0.39,<14",
		"nvidia-nvshmem-cu13>=3.3.20,<4",
		"nvidia-nvvm>=13.0,<14",
	},
}

// install fetches the wheel with pip, checks it and unpacks the plug-in under haf's cache folder.
// The package's folder appears there whole or not at all, even if several programs install at once.
func (w wheel) install(ctx context.Context, log io.Writer) (Plugin, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Plugin{}, fmt.Errorf("backend: the wheel is for linux/amd64, this is %s/%s", runtime.GOOS,
			runtime.GOARCH)
	}
	root, err := cacheRoot()
	if err != nil {
		return Plugin{}, err
	}
	work, err := workFolder(root)
	if err != nil {
		return Plugin{}, w.onDisk(root, err)
	}
	defer os.RemoveAll(work)
	fetched, pkg := filepath.Join(work, "fetched"), filepath.Join(work, "package")
	py, err := findPython(ctx)
	if err != nil {
		return Plugin{}, err
	}
	if err := py.download(ctx, w.name+"=="+w.version, fetched); err != nil {
		return Plugin{}, err
	}
	file := filepath.Join(fetched, w.file)
	if err := w.verify(file); err != nil {
		return Plugin{}, err
	}
	if len(w.beside) > 0 {
		if err := py.installInto(ctx, w.beside, pkg, log); err != nil {
			return Plugin{}, err
		}
	}
	library := filepath.Join(pkg, filepath.FromSlash(w.dest))
	if err := unpack(file, w.member, library); err != nil {
		return Plugin{}, w.onDisk(root, err)
	}
	final := filepath.Join(root, w.name+"-"+w.version)
	if err := replaceFolder(pkg, final, filepath.Join(work, "old")); err != nil {
		return Plugin{}, w.onDisk(root, err)
	}
	return pluginAt(filepath.Join(final, filepath.FromSlash(w.dest)), "installed by haf")
}

// verify compares the hash of the fetched file with the pinned hash.
func (w wheel) verify(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backend: pip fetched %s %s, but not the file %s: is its index a mirror with "+
			"other builds?", w.name, w.version, w.file)
	}
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("backend: read %s: %w", w.file, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != w.sha256 {
		return fmt.Errorf("backend: %s has the sha256 %s, want %s: not the package that this haf was "+
			"built for, so it was thrown away; try again or another index (PIP_INDEX_URL)", w.file, got,
			w.sha256)
	}
	return nil
}

// onDisk adds the remedy to a file-system error below root.
func (w wheel) onDisk(root string, err error) error {
	switch {
	case isFull(err):
		return fmt.Errorf("backend: the disk of %s is full (%s): %w: free some space, or set "+
			"XDG_CACHE_HOME to another disk", root, w.about, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("backend: %w: set XDG_CACHE_HOME to a folder that you may write", err)
	}
	return fmt.Errorf("backend: install in %s: %w", root, err)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// unpack writes one member of a zip archive to path, synced and executable.
func unpack(archive, member, path string) (err error) {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(archive), err)
	}
	defer z.Close()
	in, err := z.Open(member)
	if err != nil {
		return fmt.Errorf("%s has no %s: %w", filepath.Base(archive), member, err)
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil { // archive/zip checks size and CRC as it reads
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// replaceFolder renames a folder to its final name. It first moves an existing folder aside, so
// that programs with open files keep them.
func replaceFolder(from, final, aside string) error {
	if err := os.Rename(final, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := os.Rename(from, final)
	if err == nil {
		return syncFolder(filepath.Dir(final))
	}
	if _, statErr := os.Stat(final); statErr == nil {
		return nil // another program has installed the same package in between
	}
	return errors.Join(err, os.Rename(aside, final))
}

// syncFolder makes the renames in a folder durable where the system can.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) &&
		!errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
