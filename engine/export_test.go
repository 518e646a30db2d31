package engine

// WithHash returns o with the seeded hash replaced, to force collisions.
func (o Options) WithHash(hash func(key []byte) uint64) Options {
	o.hash = hash
	return o
}

// HashOf returns the hash that e gives to key.
func (e *Engine) HashOf(key string) uint64 { return e.hash([]byte(key)) }
