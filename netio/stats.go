package netio

import (
	"time"

	"keyframe/engine"
)

// serverInfo is the answer to SERVER_INFO, after its status.
type serverInfo struct {
	KeyCnt        int    `json:"keyCnt"`
	QryCnt        uint64 `json:"qryCnt"`
	Version       string `json:"version"`
	UptimeSeconds int64  `json:"uptimeSeconds"`
	Loops         int    `json:"loops"`
	Shards        int    `json:"shards"`
	StoreBytes    int    `json:"storeBytes"`
	ConnsNow      int64  `json:"connsNow"`
	ConnsTotal    uint64 `json:"connsTotal"`
	ConnsRefused  uint64 `json:"connsRefused"`
	SlowConsumers uint64 `json:"slowConsumers"`
}

// info gathers a serverInfo. Counts of other loops may lag by the turns that
// they are in.
func (s *Server) info(now time.Time) serverInfo {
	stats := s.storeStats(now)
	return serverInfo{
		KeyCnt:        s.engine.Len(),
		QryCnt:        s.queries(),
		Version:       s.opts.Version,
		UptimeSeconds: int64(now.Sub(s.started).Seconds()),
		Loops:         s.opts.Loops,
		Shards:        stats.Shards,
		StoreBytes:    stats.ReservedBytes,
		ConnsNow:      s.counters.conns.Load(),
		ConnsTotal:    s.counters.accepted.Load(),
		ConnsRefused:  s.counters.refused.Load(),
		SlowConsumers: s.counters.slowConsumers.Load(),
	}
}

// maxStatsAge bounds how old the store's statistics may be: gathering them visits
// every shard, and a client may ask for them as often as it likes.
const maxStatsAge = 250 * time.Millisecond

// storeStats returns statistics of the store that are not older than that.
func (s *Server) storeStats(now time.Time) engine.Stats {
	s.stats.Lock()
	defer s.stats.Unlock()
	if s.stats.at.IsZero() || now.Sub(s.stats.at) > maxStatsAge {
		s.stats.value, s.stats.at = s.engine.Stats(), now
	}
	return s.stats.value
}

// queries counts the commands received since the start.
func (s *Server) queries() (n uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.byLoop {
		n += l.published.queries.Load()
	}
	return n
}
