package frame_test

import (
	"fmt"

	"keyframe/netio/frame"
)

// A client masks what it sends; a server takes frames off the head of what has arrived,
// whole or in fragments, and answers without a mask.
func Example() {
	const command = `{"COUNT":{}}`
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	arrived := frame.AppendMaskedHeader(nil, frame.Text, len(command), key)
	head := len(arrived)
	arrived = append(arrived, command...)
	frame.Mask(arrived[head:], key)

	r := frame.Reader{MaxMessage: 1 << 20}
	if _, _, err := r.Next(arrived[:head+3]); err == frame.ErrIncomplete {
		fmt.Println("a part of a frame: wait for more")
	}
	m, size, err := r.Next(arrived)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d bytes of %d: %s\n", size, len(arrived), m.Payload)

	const answer = `{"COUNT_RSP":{"st":0,"cnt":2}}`
	out := append(frame.AppendHeader(nil, frame.Text, len(answer)), answer...)
	h, err := frame.ParseFromServer(out, 1<<20)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", out[h.Size:h.Size+h.Length])
	// Output:
	// a part of a frame: wait for more
	// 18 bytes of 18: {"COUNT":{}}
	// {"COUNT_RSP":{"st":0,"cnt":2}}
}

// An error says with which code and reason to close the connection.
func ExampleParseFromClient() {
	unmasked := frame.AppendHeader(nil, frame.Text, 2)
	_, err := frame.ParseFromClient(append(unmasked, "{}"...), 1<<20)
	fmt.Println(err)
	// Output: close 1002: client frame without a mask
}
