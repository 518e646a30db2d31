module keyframe/bench/rivals

go 1.26.0

require (
	github.com/allegro/bigcache/v3 v3.1.0
	github.com/coocood/freecache v1.2.4
	github.com/maypok86/otter/v2 v2.2.1
	github.com/minio/simdjson-go v0.4.5
	github.com/puzpuzpuz/xsync/v4 v4.2.0
	github.com/redis/rueidis v1.0.79
	github.com/ulikunitz/xz v0.5.15
	github.com/valyala/fastjson v1.6.4
	keyframe v0.0.0
)

require (
	github.com/bytedance/gopkg v0.1.3 // indirect
	github.com/bytedance/sonic v1.15.5 // indirect
	github.com/bytedance/sonic/loader v0.5.3 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/cloudwego/base64x v0.1.6 // indirect
	github.com/klauspost/compress v1.15.15 // indirect
	github.com/klauspost/cpuid/v2 v2.2.9 // indirect
	github.com/twitchyliquid64/golang-asm v0.15.1 // indirect
	golang.org/x/arch v0.0.0-20210923205945-b76863e36670 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace keyframe => ../..
