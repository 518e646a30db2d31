package codec_test

import (
	"testing"

	"keyframe/codec"
)

// newDecoder returns a decoder, or ends the test.
func newDecoder(t testing.TB, opts codec.Options) *codec.Decoder {
	t.Helper()
	d, err := codec.NewDecoder(opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The example of the product page, verbatim.
func TestSetExampleOfThePage(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	payload := []byte(`{"SET":{"54321_username":"crusty","54321_dobyear":1982,"54321_active":true}}`)
	args, cmd, err := d.Decode(payload, nil, 100)
	if err != nil || cmd.Op != codec.OpSet || cmd.More || len(args) != 3 {
		t.Fatalf("got %d arguments, %+v, %v", len(args), cmd, err)
	}
	want := [][2]string{{"54321_username", `"crusty"`}, {"54321_dobyear", "1982"}, {"54321_active", "true"}}
	for i, a := range args {
		if string(a.Key) != want[i][0] || string(a.Value) != want[i][1] || a.Status != codec.StatusOK {
			t.Errorf("argument %d: %s = %s, status %d", i, a.Key, a.Value, a.Status)
		}
	}
	got := string(codec.AppendResponse(nil, cmd.Op, &args[0], codec.StatusKeySet))
	if want := `{"SET_RSP":{"st":1,"k":"54321_username"}}`; got != want {
		t.Errorf("response %s, want %s", got, want)
	}
}
