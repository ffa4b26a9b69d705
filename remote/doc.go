// Package remote makes a [pref.Generator] and a [pref.Judge] of any server that speaks OpenAI's
// chat completions, such as vLLM, SGLang, llama.cpp and Ollama: a bounded number of requests at
// once, time-outs, retries with back-off.
package remote
