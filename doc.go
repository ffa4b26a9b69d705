// Package haf is the map of the house; it holds no code. haf trains, evaluates and uses reward
// models by the hybrid objective of HaF-RM (arXiv 2407.04185): one decoder with a score head and a
// policy head, trained together.
//
// To read it, follow a training run: cmd/haf/train.go → recipe/recipe.go → train/trainer.go →
// train/step.go → optim/step.go → objective/hybrid.go → reward/model.go → lm/decoder.go.
//
// Data flows from a file through pref (groups of preferences), encode (packed rows of tokens),
// reward (the two-headed forward pass), objective (the loss) and train (the step) into a run
// folder; reward.Open makes of that folder a model, whose Reader is a pref.Rewarder, as is a
// server's model or an ensemble: eval measures its rewards. Its Engine is what serve gives to
// trainers. One reward of a Rewarder is a pref.Scorer; with a pref.Generator or a pref.Judge,
// curate makes new data by it, and rlhf optimizes a policy against it.
//
// The packages, each with the others of this module that it may import, are listed in
// layers_test.go, which enforces it.
package haf
