// Package ui is the web app of haf ui: pages of run folders, of pairs with their rewards, and of
// single responses, in a browser on the same machine. It reads run folders and writes nothing.
package ui
