package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// Message is what a user reads of an error: the system's words about a path, such as "stat x: no
// such file or directory", become those of a person, with what to do next where the error says
// nothing of it. The error of a context that a signal ended says where haf was interrupted.
func Message(err error) string {
	text := err.Error()
	if errors.Is(err, context.Canceled) { // by a signal
		text = strings.ReplaceAll(text, ": "+context.Canceled.Error(), "")
		return strings.TrimSuffix("interrupted: "+text, ": "+context.Canceled.Error())
	}
	var of *fs.PathError
	if !errors.As(err, &of) {
		return text
	}
	seen, next := pathWords(of)
	if seen == "" {
		return text
	}
	before, after, found := strings.Cut(text, of.Error())
	if !found {
		return text
	}
	if after == "" {
		after = ": " + next
	}
	return before + seen + after
}

// pathWords says what a system call saw at a path, and what to do; "" of what needs no words.
func pathWords(of *fs.PathError) (seen, next string) {
	switch {
	case errors.Is(of.Err, fs.ErrNotExist):
		return "there is no " + of.Path, "name a file or folder that is there, or make it first"
	case errors.Is(of.Err, syscall.EISDIR):
		return of.Path + " is a folder, want a file", "name a file in it"
	case errors.Is(of.Err, syscall.ENOTDIR):
		return "a part of " + of.Path + " is a file, want a folder", "name a path of folders"
	case errors.Is(of.Err, syscall.ELOOP):
		return of.Path + " is a link that leads back to itself",
			fmt.Sprintf("name what it should lead to; see it with: ls -l %s", of.Path)
	case errors.Is(of.Err, fs.ErrPermission):
		return "this user may not use " + of.Path + " (permission denied)",
			fmt.Sprintf("see who may with: ls -ld %s", of.Path)
	case errors.Is(of.Err, syscall.ENOSPC):
		return "the disk of " + of.Path + " is full", "free some of it; see how much with: df -h"
	case errors.Is(of.Err, syscall.EROFS):
		return of.Path + " is on a disk that can only be read", "name another folder"
	}
	return "", ""
}
