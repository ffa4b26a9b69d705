// Package haf is the map of the house; it holds no code. haf trains, evaluates and uses reward
// models by the hybrid objective of HaF-RM (arXiv 2407.04185): one decoder with a score head and a
// policy head, trained together.
//
// To read it, follow a training run: cmd/haf/train.go → launch/train.go → recipe/recipe.go →
// train/trainer.go → train/step.go → optim/step.go → objective/hybrid.go → reward/model.go →
// lm/decoder.go.
//
// Data flows from a file through pref (groups of preferences), encode (tokens), pack (batches),
// reward (the two-headed forward pass), objective (the loss) and train (the step) into a run
// folder; reward.Open makes of that folder a model, whose Reader is a pref.Rewarder, as is a
// server's model or an ensemble: eval measures its rewards. Its Engine is what serve gives to
// trainers. One reward of a Rewarder is a pref.Scorer; with a pref.Generator or a pref.Judge,
// curate makes new data by it, and rlhf optimizes a policy against it.
//
// The public packages, from text to a page of results:
//
//   - pref: groups of preferences, the readers of files, and the interfaces of all packages.
//   - tokenizer: text and token ids, exactly as Hugging Face's tokenizers.
//   - chat: conversations as the text that a model was trained on.
//   - encode: groups as tokens.
//   - pack: token groups as batches of a few fixed shapes.
//   - weights: safetensors and GGUF files.
//   - lm: the decoder as graph functions, and generation.
//   - objective: every loss, with its float64 reference.
//   - backend: the device that programs run on.
//   - mesh: arrays and programs over several devices of one host.
//   - reward: the model with two heads: opened, read and saved.
//   - rewarder: one reward of a Rewarder, ensembles, and files of samples.
//   - rewarder/source: opens whatever a name stands for: a model, a server, a file, a command.
//   - rewarder/rewardertest: the suite that every Rewarder passes.
//   - optim: the loop of one optimizer step, with AdamW.
//   - run: a run on disk.
//   - train: training by supervised learning.
//   - rlhf: a policy against rewards: PPO, RLOO, GRPO.
//   - hub: models and data of the Hugging Face hub.
//   - recipe: the typed description of a run.
//   - recipes: the recipes and grids that come with haf.
//   - launch: takes a recipe to a finished run.
//   - eval: rewards as numbers with intervals, and benchmark suites.
//   - report: pages of runs and results.
//   - publish: model cards, and uploads to the hub.
//   - paper: the experiments of the HaF-RM paper as a grid of runs.
//   - compare: which of Baseline, HaF and DPO to use on a user's own data, and how sure that is.
//   - curate: samples, rankings, verdicts and new labels.
//   - remote: generators and judges behind a server.
//   - serve: rewards over HTTP, and the client.
//   - ui: the web app that shows runs, pairs and why a response has its reward.
//   - doctor: what is wrong with a run, a model or data.
//
// Each has a runnable example. layers_test.go says which package may import which, and enforces it.
package haf
