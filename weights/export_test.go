package weights

// GGUFNames is for the tests that need package lm.
var GGUFNames = ggufNames
