// Package backend finds, installs and opens the device that the programs of haf run on: an XLA
// plug-in (CPU or CUDA, loaded at run time) where one is installed, else the pure Go backend, which
// needs nothing and is slow.
//
// [Open] picks the device, [Find] lists what is installed, [Setup] installs a plug-in and proves it
// with a small matrix product in a child process: a program that imports this package plays that
// child where it is told to in its environment, before its main. On linux the package keeps the
// large memory blocks that XLA on a CPU gives back, for the next execution (blocks_linux.c);
// [Release] lets go of them.
package backend
