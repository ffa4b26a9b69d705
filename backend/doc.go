// Package backend finds, installs and opens the device that the programs of haf run on: an XLA plug-in (CPU or
// CUDA, loaded at run time) where one is installed, else the pure Go backend, which needs nothing and is slow.
//
// [Open] picks the device, [Find] lists what is installed, [Setup] installs a plug-in and proves it with a small
// matrix product. [Prepare] belongs at the start of main: it gives the C allocator the settings that XLA needs.
package backend
