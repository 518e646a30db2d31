module keyframe/bench/rivals

go 1.26.0

require (
	github.com/allegro/bigcache/v3 v3.1.0
	github.com/coocood/freecache v1.2.4
	github.com/maypok86/otter/v2 v2.2.1
	github.com/puzpuzpuz/xsync/v4 v4.2.0
	keyframe v0.0.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace keyframe => ../..
