package access

import (
	"net"
	"time"
)

// ParseRights returns the users of a file with the user bob, who has these rights.
func ParseRights(r Rights) (*Users, error) {
	for _, prefixes := range []*[]string{&r.Read, &r.Write, &r.Scan} {
		if len(*prefixes) == 0 {
			*prefixes = nil
		}
	}
	doc := &document{Users: []*record{{Name: "bob", Allow: r}}}
	return doc.users()
}

// CountHashes has the gate note for which salt it hashes, at the clock's time.
func (g *Gate) CountHashes(clock func() time.Time, note func(memory, time uint32)) {
	g.now = clock
	g.hash = func(h *passwordHash, password []byte) []byte {
		note(h.memory, h.time)
		return h.hash(password)
	}
}

// DelayForTesting is how long the next attempt of a source would wait.
func (g *Gate) DelayForTesting(from net.Addr) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.sources[sourceOf(from)]; s != nil {
		return s.delay(g.now())
	}
	return 0
}
