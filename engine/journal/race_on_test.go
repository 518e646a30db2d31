//go:build race

package journal

// The race detector makes each step ten times as long, and finds nothing in the tests of one
// goroutine.
const underRace = true
