package engine

// Stats is a picture of an Engine, for operators and tests.
type Stats struct {
	Keys          int // keys in all shards
	Shards        int // number of shards
	KeysInLargest int // keys in the shard that holds most
}

// Stats reads each shard's counter; it takes no lock.
func (e *Engine) Stats() Stats {
	st := Stats{Shards: len(e.shards)}
	for i := range e.shards {
		n := int(e.shards[i].keys.Load())
		st.Keys += n
		st.KeysInLargest = max(st.KeysInLargest, n)
	}
	return st
}
