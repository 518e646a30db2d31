package seal_test

import (
	"bytes"
	"crypto/tls"
	"testing"

	"keyframe/netio/seal"
)

// FuzzOpen: whatever comes, and however it is cut, what is opened is what was sealed, from its
// beginning; nothing panics, and what is held is within MaxHeld. The script seals text, sends
// on a part of what is on the way, changes bits of that, puts bytes into it, and ends.
func FuzzOpen(f *testing.F) {
	configOf := map[uint16][2]*tls.Config{}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := configs(f, version)
		configOf[version] = [2]*tls.Config{server, client}
	}
	for _, script := range [][]byte{
		{0, 0, 200, 1, 255, 1, 255}, {1, 0, 255, 0, 255, 1, 1, 1, 255, 1, 255}, {0, 0, 10, 2, 7, 1, 255}, {1, 3, 30, 1, 255},
		{0, 0, 3, 1, 20, 0, 255, 1, 90, 4, 0, 1, 255}, {1, 4, 0, 1, 255, 0, 2, 1, 255}, {1, 0, 9, 3, 4, 1, 200},
	} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 200 {
			return
		}
		version := uint16(tls.VersionTLS12)
		if len(script) > 0 && script[0]&1 == 1 {
			version = tls.VersionTLS13
		}
		p := newPairOf(t, configOf[version][0], configOf[version][1])
		var sealed, wire, opened []byte
		for rest := script[min(1, len(script)):]; len(rest) >= 2; rest = rest[2:] {
			arg := int(rest[1])
			switch rest[0] % 5 {
			case 0: // short texts, and some of more than a record
				text := bytes.Repeat([]byte{rest[1]}, 1+arg*arg/3)
				var err error
				if wire, err = p.client.Seal(wire, text); err != nil {
					return // it has ended
				}
				sealed = append(sealed, text...)
			case 1:
				n := min(len(wire), 1+arg*arg)
				before := len(opened)
				var err error
				var answer []byte
				opened, answer, err = p.server.Open(opened, wire[:n], nil)
				if !bytes.HasPrefix(sealed, opened) || len(opened) < before {
					t.Fatalf("%d bytes are opened that were not sealed so", len(opened))
				}
				if held := p.server.Held(); held > seal.MaxHeld {
					t.Fatalf("%d bytes are held", held)
				}
				if wire = wire[n:]; err != nil {
					if len(answer) > 1000 {
						t.Fatalf("an answer of %d bytes", len(answer))
					}
					return
				}
			case 2:
				if len(wire) > 0 {
					wire[arg*7%len(wire)] ^= 1 << (arg & 7)
				}
			case 3:
				at := arg % (len(wire) + 1)
				wire = append(wire[:at:at], append(bytes.Repeat([]byte{byte(23 - arg&3), 3, 3, rest[1]}, 1+arg&15), wire[at:]...)...)
			case 4:
				wire = p.client.Close(wire)
			}
		}
	})
}
