// Package tokenizer turns text into token ids and back exactly as Hugging Face's tokenizers library
// does with the same tokenizer.json. Package chat renders the chat template that stands beside it.
//
// The stages are those of the file. Added tokens are cut out of the text (added.go); the rest is
// normalized (normalizer.go) and split into pieces (pretokenizer.go, with scanner.go for the
// published patterns and pattern.go for others). Each piece becomes ids (bpe.go, unigram.go), and
// the post-processor adds the special tokens (postprocessor.go). Decoding runs the decoder chain
// (decoder.go). If a file needs an unsupported feature, Load returns an error that names it.
// Padding and truncation settings are ignored; the caller pads and truncates.
package tokenizer
