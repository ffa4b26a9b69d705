// Package rewarder holds what is true of every [pref.Rewarder], whatever it reads: one of its
// rewards as a Scorer, an ensemble of several, and what their chat templates refuse. A model opened
// here is a Rewarder by [haf/reward.Model.Reader], a model behind a server by
// [haf/serve.Client.Connect].
package rewarder
