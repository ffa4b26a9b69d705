//go:build cgo && ((linux && (amd64 || arm64)) || (darwin && arm64))

package backend

/*
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

// The beginning of PJRT_Api, which is the same in every version of the interface.
struct interface_head {
	size_t struct_size;
	void* extension_start;
	struct {
		size_t struct_size;
		void* extension_start;
		int major_version;
		int minor_version;
	} version;
};

// read_interface loads a library and reads the version of its interface. It returns an error
// message or NULL. go-xla, which loads the library again, does not check the version.
static const char* read_interface(const char* path, int* major, int* minor) {
	void* library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (library == NULL) return dlerror();
	const struct interface_head* (*get)(void) =
		(const struct interface_head* (*)(void))dlsym(library, "GetPjrtApi");
	if (get == NULL) return "it has no function GetPjrtApi, so it is no plug-in of XLA";
	const struct interface_head* api = get();
	if (api == NULL) return "its function GetPjrtApi returns nothing";
	if (api->struct_size < sizeof(struct interface_head)) return "its interface is cut off";
	*major = api->version.major_version;
	*minor = api->version.minor_version;
	return NULL;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// interfaceMajor is the major version of the PJRT interface that go-xla calls. In other major
// versions the same slots hold other functions.
const interfaceMajor = 0

// checkInterface loads a plug-in and returns an error if it cannot be called.
func checkInterface(p Plugin) error {
	path := C.CString(p.Path)
	defer C.free(unsafe.Pointer(path))
	var major, minor C.int
	if wrong := C.read_interface(path, &major, &minor); wrong != nil {
		return fmt.Errorf("backend: open plug-in %s: %s; install another with: haf setup", p.Path,
			C.GoString(wrong))
	}
	if major != interfaceMajor {
		return fmt.Errorf("backend: open plug-in %s: it has version %d.%d of the PJRT interface, want "+
			"%d.x; install another with: haf setup", p.Path, major, minor, interfaceMajor)
	}
	return nil
}
