package client_test

import (
	"fmt"

	"keyframe/codec"
	"keyframe/codec/client"
)

// A command is opened, given its elements and closed.
func Example() {
	b := client.AppendOpen(nil, codec.OpSet)
	b = client.AppendPair(b, []byte("user1234_name"), codec.AppendString(nil, []byte(`Bob "the cat"`)))
	b = client.AppendPair(b, []byte("user1234_age"), []byte("31"))
	b = client.AppendClose(b, codec.OpSet)
	fmt.Printf("%s\n", b)

	b = client.AppendOpen(b[:0], codec.OpRename)
	b = client.AppendRename(b, []byte("user1234_name"), []byte("user1234_nick"))
	b = client.AppendClose(b, codec.OpRename)
	fmt.Printf("%s\n", b)
	// Output:
	// {"SET":{"user1234_name":"Bob \"the cat\"","user1234_age":31}}
	// {"RNM_KEY":[{"user1234_name":"user1234_nick"}]}
}

// Status is the fast way for answers to a known command. Parse takes any answer.
func ExampleStatus() {
	answers := [][]byte{
		[]byte(`{"SET_RSP":{"st":1,"k":"user1234_name"}}`),
		[]byte(`{"SET_RSP":{"st":2,"k":"tab\tin it"}}`),
	}
	p := client.NewParser()
	for _, answer := range answers {
		if st, key, ok := client.Status(answer, codec.OpSet); ok {
			fmt.Printf("fast: status %d of %q\n", st, key)
			continue
		}
		var r client.Response
		if err := p.Parse(answer, &r); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("parsed: status %d of %q\n", r.Status, r.Key)
	}
	// Output:
	// fast: status 1 of "user1234_name"
	// parsed: status 2 of "tab\tin it"
}

func ExampleParser_Parse() {
	p := client.NewParser()
	var r client.Response
	for _, answer := range []string{
		`{"GET_RSP":{"st":0,"user1234_age":31}}`,
		`{"COUNT_RSP":{"st":0,"cnt":2}}`,
		`{"SERVER_ERROR":{"s":3,"m":"NOPE"}}`,
		`{"SET_RSP":{"st":5,"k":"user1234_age"}}`,
	} {
		switch err := p.Parse([]byte(answer), &r); {
		case err != nil:
			fmt.Println(err)
		case r.Op == 0:
			fmt.Printf("error %d: %s\n", r.Status, r.Message)
		case r.Op == codec.OpCount:
			fmt.Println(r.Count, "keys")
		default:
			fmt.Printf("%s: status %d, %s = %s\n", r.Op, r.Status, r.Key, r.Value)
		}
	}
	// Output:
	// GET: status 0, user1234_age = 31
	// 2 keys
	// error 3: NOPE
	// client: not a response: SET with status 5 and "k"
}
