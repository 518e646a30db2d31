//go:build race

package netio

// UnderRace reports whether the race detector is on, which takes memory of its own.
const UnderRace = true
