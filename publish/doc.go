// Package publish makes a model ready for others: it writes its card, finds the files that belong
// to it, takes the paths of this machine out of them, and sends them to the Hugging Face hub.
package publish
