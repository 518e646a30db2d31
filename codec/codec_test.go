package codec_test

import (
	"flag"
	"testing"

	"keyframe/codec"
)

var seedFlag = flag.Int64("seed", 1, "of the random tests")

// newDecoder returns a decoder, or ends the test.
func newDecoder(t testing.TB, opts codec.Options) *codec.Decoder {
	t.Helper()
	d, err := codec.NewDecoder(opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sample reports whether exhaustive tests take samples only.
func sample() bool { return raceDetector || testing.Short() }
