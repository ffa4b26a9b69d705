// Package message writes errors for people who use haf and know nothing of its code.
package message

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// packages are the packages whose names begin their errors, for programs that import them.
const packages = "backend|bench|chat|compare|curate|doctor|durable|encode|eval|filelock|hub|" +
	"jinja|launch|lm|objective|optim|pack|paper|pref|progress|publish|recipe|remote|report|" +
	"retry|reward|rewarder|rlhf|run|serve|source|tokenizer|tracking|train|ui|weights"

var prefix = regexp.MustCompile(`(^|: |\()((?:(?:` + packages + `): )+)`)

// Given returns the arguments after the verb.
func Given(args []string) []string {
	verb := slices.IndexFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") })
	return args[verb+1:]
}

// Plain removes the names of packages from the text of an error. It keeps those inside the given
// arguments, such as a folder called run.
func Plain(text string, given ...string) string {
	return prefix.ReplaceAllStringFunc(text, func(found string) string {
		parts := prefix.FindStringSubmatch(found)
		kept := parts[1]
		for _, name := range strings.SplitAfter(parts[2], ": ") {
			own := func(arg string) bool { return arg[strings.IndexByte(arg, '=')+1:] == name[:len(name)-2] }
			if name != "" && slices.ContainsFunc(given, own) {
				kept += name
			}
		}
		return kept
	})
}

// Of returns an error for users: without names of packages. A system error about a path, such as
// "stat x: no such file or directory", is put into plain words, with the next step if the error has
// none. The error of a context ended by a signal says where haf was interrupted.
func Of(err error, given ...string) string {
	text := Plain(err.Error(), given...)
	if errors.Is(err, context.Canceled) { // by a signal
		return strings.ReplaceAll("interrupted: "+text, ": "+context.Canceled.Error(), "")
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

// pathWords describes a system error at a path and the next step; "" for other errors.
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
