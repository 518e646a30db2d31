package netio

import (
	runtimemetrics "runtime/metrics"
	"time"

	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio/access"
)

// Stats are a server's numbers at one time. Those that operators and clients see, and
// their names, are in Metrics.
type Stats struct {
	Conns         int    // open now
	ConnsTotal    uint64 // accepted since the start
	ConnsRefused  uint64 // over MaxConns
	SlowConsumers uint64 // closed because they did not read
	AcceptErrors  uint64 // out of descriptors, mostly

	TLS TLSStats

	Loops []LoopStats // of each event loop, in the order of their first connections
	Total Counters    // of all loops

	Keys    int           // in the store
	Store   engine.Stats  // not older than maxStatsAge; Keys is exact
	Uptime  time.Duration // since New
	Started time.Time     // New

	// Memory besides Store.ReservedBytes: what connections hold of input and output, and
	// what Go's runtime has taken from the system for anything but these.
	InputBytes, OutputBytes, RestBytes int
	MaxBufferBytes                     int            // Options.MaxBufferBytes
	Journal                            *journal.Stats // nil: the store is not on disk
	Access                             *access.Stats  // nil: there are no users

	Version string // Options.Version
}

// LoopStats are one event loop's.
type LoopStats struct {
	Conns int
	Counters
}

// TLSStats are a server's numbers of TLS.
type TLSStats struct {
	Handshakes     [len(tlsVersions)]uint64 // that came through, by version
	Resumed        uint64
	Failures       [NumTLSFailures]uint64 // by TLSFailure
	Shaking        int                    // now
	CertificateEnd time.Time              // zero: there is no certificate
}

// Stats gathers the server's numbers. It takes no time from the event loops:
// what they have published is copied.
func (s *Server) Stats() Stats {
	now := time.Now()
	st := Stats{
		Conns:         int(s.counters.conns.Load()),
		ConnsTotal:    s.counters.accepted.Load(),
		ConnsRefused:  s.counters.refused.Load(),
		SlowConsumers: s.counters.slowConsumers.Load(),
		AcceptErrors:  s.counters.acceptErrors.Load(),
		Keys:          s.store.Len(),
		Store:         s.storeStats(now),
		Uptime:        now.Sub(s.created),
		Started:       s.created,
		Version:       s.opts.Version,

		MaxBufferBytes: s.opts.MaxBufferBytes,
	}
	if s.opts.Journal != nil && !s.loading.Load() {
		j := s.opts.Journal.Stats()
		st.Journal = &j
	}
	st.TLS = s.tls.stats()
	if s.gate != nil {
		a := s.gate.Stats()
		st.Access = &a
	}
	// We know of a loop when it gets its first connection; until then it has
	// counted nothing.
	st.Loops = make([]LoopStats, s.opts.Loops)
	var held usage
	// At one time, or what one loop has given back and another taken would be in both.
	loops := s.loopList()
	for _, l := range loops {
		l.published.Lock()
	}
	for i, l := range loops {
		st.Loops[i] = LoopStats{l.published.conns, l.published.Counters}
		held.add(l.published.held)
	}
	for i, l := range loops {
		l.published.Unlock()
		st.Total.add(&st.Loops[i].Counters)
	}
	st.InputBytes, st.OutputBytes = held.input, held.output
	st.RestBytes = max(0, runtimeBytes()-(held.input-held.mapped)-held.output)
	return st
}

// runtimeBytes is the memory that counts towards GOMEMLIMIT.
func runtimeBytes() int {
	samples := []runtimemetrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	runtimemetrics.Read(samples)
	return int(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// maxStatsAge bounds how old the store's statistics may be: gathering them visits
// every shard, and a client may ask for them as often as it likes.
const maxStatsAge = 250 * time.Millisecond

// storeStats returns statistics of the store that are not older than that.
func (s *Server) storeStats(now time.Time) engine.Stats {
	s.stats.Lock()
	defer s.stats.Unlock()
	if s.stats.at.IsZero() || now.Sub(s.stats.at) > maxStatsAge {
		s.stats.value, s.stats.at = s.store.Stats(), now
	}
	return s.stats.value
}
