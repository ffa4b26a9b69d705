// Package rewarder has functions for every [pref.Rewarder]: one of its rewards as a Scorer,
// ensembles, and the prompts that chat templates refuse. [haf/reward.Model.Reader] makes a local
// model a Rewarder, [haf/serve.Client.Connect] a model behind a server.
package rewarder
