// Package backend finds, installs and opens the device for the programs of haf: an installed XLA
// plug-in (CPU or CUDA, loaded at run time), or else the pure Go backend, which needs no
// installation and is slow.
//
// [Open] picks the device, [Find] lists the installed plug-ins, [Setup] installs one and tests it
// with a small matrix product in a child process. The child is the same program: if an environment
// variable is set, this package runs the test before main.
//
// XLA on a CPU frees large memory blocks after every execution; on Linux the package keeps them for
// the next execution (blocks_linux.c). [Release] frees them.
package backend
