//go:build race

package codec_test

// The race detector makes these tests ten times slower and can find nothing in them: a
// decoder belongs to one goroutine. So exhaustive tests take samples.
const raceDetector = true
