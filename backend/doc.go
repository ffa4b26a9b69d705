// Package backend finds, installs and opens the device that the programs of haf run on: an XLA
// plug-in (CPU or CUDA, loaded at run time) where one is installed, else the pure Go backend, which
// needs nothing and is slow.
//
// [Open] picks the device, [Find] lists what is installed, [Setup] installs a plug-in and proves it
// with a small matrix product in a child process: a program that imports this package plays that
// child where it is told to in its environment, before its main.
//
// XLA on a CPU frees large memory blocks after every execution; on Linux the package keeps them for
// the next execution (blocks_linux.c). [Release] frees them.
package backend
