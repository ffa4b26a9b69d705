// Package source opens reward sources by name, for all verbs: local models, servers, files and
// commands. One table has the schemes of names: a new source is a new row of it.
package source
