//go:build race

package engine_test

// The race detector makes each step ten times as long, and finds nothing in the tests of one
// goroutine.
const underRace = true
