//go:build race

package codec_test

// The race detector makes these tests ten times slower and has nothing to find in
// them: a decoder belongs to one goroutine. So the exhaustive ones take samples.
const raceDetector = true
