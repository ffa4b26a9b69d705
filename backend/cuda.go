//go:build cgo && ((linux && (amd64 || arm64)) || (darwin && arm64))

package backend

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"
)

// cudaLibraries are NVIDIA's libraries in dependency order, under the `nvidia` folder of their
// wheels.
var cudaLibraries = []string{
	"cu13/lib/libcudart.so.13",
	"cu13/lib/libnvrtc.so.13",
	"cu13/lib/libnvJitLink.so.13",
	"cu13/lib/libcublasLt.so.13",
	"cu13/lib/libcublas.so.13",
	"nccl/lib/libnccl.so.2",
	"cu13/lib/libcupti.so.13",
	"cu13/lib/libcusparse.so.12",
	"cu13/lib/libcusolver.so.12",
	"cu13/lib/libcufft.so.12",
	"nvshmem/lib/libnvshmem_host.so.3",
	"cudnn/lib/libcudnn.so.9",
}

// linkCUDA prepares this process for a CUDA plug-in. It tells XLA where NVIDIA's tools are (ptxas,
// libdevice) and loads NVIDIA's libraries by their full paths, so that the plug-in's later look-ups
// by bare name find them, as JAX does. If the libraries are not beside the plug-in, the dynamic
// loader finds the system's.
func linkCUDA(plugin string) error {
	// go-xla's own check would set a folder without tools, and warn.
	if err := os.Setenv("GOPJRT_CUDA_CHECKS", "0"); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	nvidia := nvidiaFolder(plugin)
	if nvidia == "" {
		return nil
	}
	const flag = "--xla_gpu_cuda_data_dir="
	if flags := os.Getenv("XLA_FLAGS"); !strings.Contains(flags, flag) {
		dir := filepath.Join(nvidia, "cu13")
		if strings.ContainsAny(dir, " \t\n") {
			return fmt.Errorf("backend: plug-in %s: its path has a space, which XLA_FLAGS cannot hold: set "+
				"XDG_CACHE_HOME to another folder and run `haf setup -cuda`", plugin)
		}
		if err := os.Setenv("XLA_FLAGS", strings.TrimSpace(flags+" "+flag+dir)); err != nil {
			return fmt.Errorf("backend: %w", err)
		}
	}
	for _, name := range cudaLibraries {
		path := filepath.Join(nvidia, filepath.FromSlash(name))
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cPath := C.CString(path)
		// Never closed. If this fails, the plug-in looks the library up again and reports the
		// reason.
		C.dlopen(cPath, C.RTLD_LAZY|C.RTLD_LOCAL)
		C.free(unsafe.Pointer(cPath))
	}
	return nil
}

// nvidiaFolder finds the `nvidia` folder with CUDA 13 that belongs to a plug-in: two levels up in
// Python's layout (…/jax_plugins/xla_cuda13/x.so), or the plug-in's own folder, where go-xla
// installs it. It returns "" if there is none.
func nvidiaFolder(plugin string) string {
	if real, err := filepath.EvalSymlinks(plugin); err == nil {
		plugin = real
	}
	for _, up := range []string{"../../nvidia", "../nvidia", "."} {
		dir := filepath.Join(filepath.Dir(plugin), filepath.FromSlash(up))
		if info, err := os.Stat(filepath.Join(dir, "cu13")); err == nil && info.IsDir() {
			return dir
		}
	}
	return ""
}
