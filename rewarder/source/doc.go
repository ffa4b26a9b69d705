// Package source opens reward sources by name, for all verbs: local models, servers, files and
// commands. A table maps prefixes of names to sources; a new source is a new row.
package source
