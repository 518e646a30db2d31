package codec_test

import (
	"fmt"
	"os"

	"keyframe/codec"
)

// A payload is decoded, executed and answered.
func Example() {
	dec, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	payload := []byte(`{"SET":{"user1234_name":"bob","age":31}}`)
	args, cmd, err := dec.Decode(payload, nil, 100)
	if err != nil {
		fmt.Println(err)
		return
	}
	var out []byte
	for i := range args {
		arg := &args[i]
		status := arg.Status
		if status == codec.StatusOK {
			fmt.Printf("%s stores %s = %s\n", cmd.Op, arg.Key, arg.Value)
			status = codec.StatusKeySet
		}
		out = codec.AppendResponse(out, cmd.Op, arg, status)
		out = append(out, '\n')
	}
	dec.Reset()
	os.Stdout.Write(out)
	// Output:
	// SET stores user1234_name = bob
	// {"SET_RSP":{"st":1,"k":"user1234_name"}}
	// {"SET_RSP":{"st":6,"k":"age"}}
}

// A command may have more elements than are wanted at once.
func ExampleDecoder_DecodeFrom() {
	dec, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	payload := []byte(`{"GET":["key_01","key_02","key_03","key_04","key_05"]}`)
	args, cmd, err := dec.Decode(payload, nil, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		for _, arg := range args {
			fmt.Printf("%s\n", arg.Key)
		}
		if !cmd.More {
			break
		}
		fmt.Println("and on")
		args, cmd = dec.DecodeFrom(payload, cmd, args[:0], 2)
	}
	// Output:
	// key_01
	// key_02
	// and on
	// key_03
	// key_04
	// and on
	// key_05
}

// A payload that is no command has a refusal, which says why and where.
func ExampleRefusal() {
	dec, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, payload := range []string{`{"SET":{"abcdef":01}}`, `{"SET":{},"GET":[]}`, `{"NOPE":{}}`, `{"GET":{}}`} {
		_, _, err := dec.Decode([]byte(payload), nil, 100)
		refusal := codec.RefusalOf(err)
		fmt.Printf("code %d, byte %d: %s\n", refusal.Code, refusal.Offset, codec.AppendError(nil, refusal))
	}
	// Output:
	// code 5, byte 18: {"SERVER_ERROR":{"s":5,"m":"not JSON: a digit after a leading zero at byte 18"}}
	// code 4, byte 9: {"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}
	// code 3, byte 1: {"SERVER_ERROR":{"s":3,"m":"unknown command NOPE"}}
	// code 12, byte 7: {"GET_RSP":{"st":12,"m":"GET takes an array of keys"}}
}

// A command's row in the table says how it is decoded, executed and answered.
func ExampleLookup() {
	op := codec.Lookup([]byte("ADDQ"))
	fmt.Println(op, op.Shape() == codec.ShapePairs, op.Effect() == codec.EffectStoreNew, op.Quiet())
	fmt.Println(op.Answers().Has(codec.StatusKeySet), op.Answers().Has(codec.StatusKeyExists))
	// Output:
	// ADDQ true true true
	// false true
}
