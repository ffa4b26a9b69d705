//go:build !unix

package backend

func minorFaults() int64 { return 0 }
