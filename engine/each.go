package engine

// Range calls fn for each key and its value until fn returns false. It is Each for those
// that ask for no more.
func (e *Engine) Range(fn func(key, value []byte) bool) {
	e.Each(func(key, value []byte, _ Form, _ int64) bool { return fn(key, value) })
}

// Each calls fn for each key, with its value, the value's form and the key's deadline, 0 if
// it has none, until fn returns false. The slices are valid during the call only. fn runs
// without a lock and may use the Engine. A key whose time is over may be among them.
//
// Each segment is copied at one moment, except large values, which are read one by
// one. A key that exists all the time is seen exactly once, unless a rename moves
// it; one that comes or goes may be seen.
func (e *Engine) Each(fn func(key, value []byte, form Form, deadline int64) bool) {
	var snap snapshot
	var large []byte
	for i := range e.shards {
		s := &e.shards[i]
		for at := uint64(0); at < maxDirSize; {
			at = snap.take(s, at)
			from := 0
			for _, c := range snap.records {
				key := snap.buf[from:c.key:c.key]
				from = c.key
				var value []byte
				form, expires := c.form, c.expiry
				if c.value != readLater {
					value, from = snap.buf[c.key:c.value:c.value], c.value
				} else {
					var now content
					var ok bool
					if large, now, ok = s.read(large[:0], e.hashOf(key), key); !ok {
						continue // it has gone meanwhile
					}
					value, form, expires = large[:len(large):len(large)], now.form, now.expiry
				}
				if !fn(key, value, form, expires.deadline()) {
					return
				}
			}
		}
	}
}

// Sequences appends, for each shard, the number of the last effect that it has had, in the
// order of the shards: a copy of a shard that is begun now has to have the effects from the
// next one on. They are read one shard after the other.
func (e *Engine) Sequences(dst []uint64) []uint64 {
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		dst = append(dst, s.effects)
		s.mu.Unlock()
	}
	return dst
}
