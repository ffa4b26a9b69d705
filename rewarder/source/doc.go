// Package source opens whatever gives rewards by its name, for every verb alike: a model that is
// opened here, or a server. One table has the schemes of names: a new source is a new row of it.
package source
