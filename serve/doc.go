// Package serve serves rewards over HTTP, in haf's own form and in the dialects of RL trainers, and
// has a client that is a [pref.Scorer].
//
// To read it, follow a request. server.go accepts it. A decoder in native.go, openrlhf.go, vllm.go,
// sglang.go, llamafactory.go or slime.go makes a call of it. models.go finds the model and has its
// inputs encoded. queue.go holds them until batcher.go takes a batch, fair between clients and
// packed by prompt, and the engine reads it. The served object is an [Engine]; package reward has
// the engine of real models.
package serve
