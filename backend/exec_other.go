//go:build !unix

package backend

import "errors"

func reexec(string, []string) error { return errors.ErrUnsupported }
