package access_test

import (
	"testing"

	"keyframe/codec"
	"keyframe/netio/access"
)

// FuzzUsers: a file of users is refused or right, whatever is in it, and right twice.
func FuzzUsers(f *testing.F) {
	for _, text := range []string{
		``, `{}`, `{"users":[]}`, `{"users":[{"name":"bob","allow":{"read":["bob:"],"write":[""],"scan":["b"],"admin":true}}]}`,
		`{"users":[{"name":"t","tokens":[{"id":"a","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","expires":"2030-01-01T00:00:00Z"}],"allow":{}}]}`,
		`{"users":[{"name":"p","password":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$2Y7yYkCNEZ0kqLrGWRRxnsXvVkkzcR1d3hJMT1FNIAQ","allow":{"read":["a","ab"]}}]}`,
		`{"users":[{"name":"p","password":"$argon2id$v=19$m=4294967295,t=4294967295,p=255$c2FsdA$aGFzaA","allow":{}}]}`,
		`{"users":[{"name":"a","allow":{}},{"name":"a","allow":{}}]}`, `{"users":[{"name":"a","Name":"b","allow":null}]}`, `[`, "{\"users\":[{\"name\":\"\\u0000\"}]}",
	} {
		f.Add([]byte(text), "bob:1")
	}
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		us, err := access.Parse(text)
		if (us == nil) == (err == nil) {
			t.Fatalf("%v and %v", us, err)
		}
		if err != nil {
			return
		}
		again, err := access.Parse(text)
		if err != nil || !us.Equal(again) {
			t.Fatalf("the second time it is another: %v", err)
		}
		for _, name := range []string{"bob", "p", "t", key} {
			login := us.ByCertificate(name)
			if (login != nil) != us.Has(name) || (again.ByCertificate(name) != nil) != (login != nil) {
				t.Fatalf("%q is a user, and is not", name)
			}
			if login == nil {
				continue
			}
			u := login.User
			for _, class := range []codec.Class{codec.ClassRead, codec.ClassWrite, codec.ClassRead | codec.ClassWrite} {
				if u.Keys(class).Has([]byte(key)) && !u.Keys(class).Has([]byte(key+"x")) {
					t.Fatalf("%q is among the keys, and what begins with it is not", key)
				}
			}
			u.MayScan([]byte(key))
		}
	})
}
