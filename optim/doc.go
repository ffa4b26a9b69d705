// Package optim holds the optimizer of haf: the settings of AdamW, the update of the weights, and
// the one loop of an optimizer step, which accumulates gradients, checks them and applies them.
// Packages train and rlhf both step through it.
package optim
