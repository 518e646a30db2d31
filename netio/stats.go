package netio

import (
	"time"

	"keyframe/codec"
	"keyframe/engine"
)

// Stats are a server's numbers at one time.
type Stats struct {
	Conns         int    // open now
	ConnsTotal    uint64 // accepted since the start
	ConnsRefused  uint64 // over MaxConns
	SlowConsumers uint64 // closed because they did not read
	AcceptErrors  uint64 // out of descriptors, mostly

	Loops []LoopStats // of each event loop, in the order of their first connections
	Total Counters    // of all loops

	Keys   int           // in the store
	Store  engine.Stats  // not older than maxStatsAge; Keys is exact
	Uptime time.Duration // since New
}

// LoopStats are one event loop's.
type LoopStats struct {
	Conns int
	Counters
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
	}
	// We know of a loop when it gets its first connection; until then it has
	// counted nothing.
	st.Loops = make([]LoopStats, s.opts.Loops)
	for i, l := range s.loopList() {
		ls := &st.Loops[i]
		l.published.Lock()
		*ls = LoopStats{l.published.conns, l.published.Counters}
		l.published.Unlock()
		st.Total.add(&ls.Counters)
	}
	return st
}

// serverInfo is the answer to SERVER_INFO, after its status.
type serverInfo struct {
	KeyCnt        int               `json:"keyCnt"`
	QryCnt        uint64            `json:"qryCnt"`
	Version       string            `json:"version"`
	UptimeSeconds int64             `json:"uptimeSeconds"`
	Loops         int               `json:"loops"`
	Shards        int               `json:"shards"`
	StoreBytes    int               `json:"storeBytes"`
	ConnsNow      int               `json:"connsNow"`
	ConnsTotal    uint64            `json:"connsTotal"`
	ConnsRefused  uint64            `json:"connsRefused"`
	SlowConsumers uint64            `json:"slowConsumers"`
	AcceptErrors  uint64            `json:"acceptErrors"`
	Frames        uint64            `json:"frames"`
	BytesIn       uint64            `json:"bytesIn"`
	BytesOut      uint64            `json:"bytesOut"`
	Commands      map[string]uint64 `json:"commands"`
	Errors        map[string]uint64 `json:"errors"`
	Batches       uint64            `json:"batches"`
	BatchOps      uint64            `json:"batchOps"`
	BatchSizes    []uint64          `json:"batchSizes"` // up to 1, 2, 4 … operations
	ApplySeconds  float64           `json:"applySeconds"`
}

// info gathers a serverInfo. Counts of other loops may lag by the turns that
// they are in.
func (s *Server) info() serverInfo {
	st := s.Stats()
	info := serverInfo{
		KeyCnt:        st.Keys,
		QryCnt:        st.Total.Queries,
		Version:       s.opts.Version,
		UptimeSeconds: int64(st.Uptime.Seconds()),
		Loops:         s.opts.Loops,
		Shards:        st.Store.Shards,
		StoreBytes:    st.Store.ReservedBytes,
		ConnsNow:      st.Conns,
		ConnsTotal:    st.ConnsTotal,
		ConnsRefused:  st.ConnsRefused,
		SlowConsumers: st.SlowConsumers,
		AcceptErrors:  st.AcceptErrors,
		Frames:        st.Total.Frames,
		BytesIn:       st.Total.BytesIn,
		BytesOut:      st.Total.BytesOut,
		Commands:      make(map[string]uint64),
		Errors:        make(map[string]uint64),
		BatchOps:      st.Total.BatchOps,
		BatchSizes:    st.Total.BatchSizes[:],
		ApplySeconds:  st.Total.ApplyTime.Seconds(),
	}
	for op := range codec.Opcodes() {
		info.Commands[op.String()] = st.Total.Commands[op]
	}
	for kind, n := range st.Total.Errors {
		info.Errors[ErrorKind(kind).String()] = n
	}
	for _, n := range st.Total.BatchSizes {
		info.Batches += n
	}
	return info
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
