// Package jinja renders chat templates: Jinja2 as transformers sets it up, with Python's values.
//
// A chat template is a program written by the maker of the model. Rendering reads no file and no
// environment, and reads the clock only through a given function. It always ends, because every
// operation counts against the Limits of the rendering.
//
// The source goes through three stages. lexer.go and literal.go split it into tokens and apply the
// rules for white space. parser.go and expression.go build a tree of nodes. The nodes of
// statement.go, loop.go, call.go and operator.go evaluate themselves over the values of value.go.
// Filters are in filter.go and sequence.go, tests in tests.go, methods in method.go and
// strmethod.go, functions in global.go.
//
// Python is the reference: testdata/python.py renders each case of the tests with jinja2. What the
// package does not support is an error, never another text:
//
//   - arithmetic on integers of more than 64 bits, complex numbers, and sets;
//   - the text of a generator or function, which is an address in Python;
//   - format specifications in str.format, the methods encode, maketrans and translate of texts,
//     and all methods of numbers and ranges;
//   - the statements autoescape, do, extends, from, import and include;
//   - the filters that no chat template uses: filesizeformat, pprint, random, striptags, urlencode,
//     urlize, wordwrap and xmlattr.
//
// An unknown filter or test is an error when the rendering reaches it; Jinja refuses some such
// templates when parsing.
package jinja
