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

// packages are those whose names begin their errors, for programs that import them.
const packages = "backend|bench|chat|compare|curate|doctor|durable|encode|eval|filelock|hub|" +
	"jinja|launch|lm|objective|optim|pack|paper|pref|progress|publish|recipe|remote|report|" +
	"retry|reward|rewarder|rlhf|run|serve|source|tokenizer|tracking|train|ui|weights"

var prefix = regexp.MustCompile(`(^|: |\()((?:(?:` + packages + `): )+)`)

// Given are the arguments behind the verb.
func Given(args []string) []string {
	verb := slices.IndexFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") })
	return args[verb+1:]
}

// Plain leaves the names of packages out of the text of an error. What stands in an argument that
// the user has given, such as a folder that is called run, is none.
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

// Of is what a user reads of an error: without names of packages, and with the system's words about
// a path, such as "stat x: no such file or directory", as those of a person, with what to do next
// where the error says nothing of it. The error of a context that a signal ended says where haf was
// interrupted.
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
