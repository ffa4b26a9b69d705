// Package tokenizer turns text into token ids and back exactly as Hugging Face's tokenizers library
// does with the same tokenizer.json. Package chat renders the chat template that stands beside it.
//
// The stages are those of the file: added tokens are cut out of the text (added.go), the rest is
// normalized (normalizer.go), split into pieces (pretokenizer.go, with scanner.go for the published
// patterns and pattern.go for any other), each piece becomes ids (bpe.go, unigram.go), and the
// post-processor adds the special tokens (postprocessor.go). Decoding runs the decoder chain
// (decoder.go). What a file asks for and this package cannot do is an error of Load that names it.
// Padding and truncation settings are the caller's business and are ignored.
package tokenizer
