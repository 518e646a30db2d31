//go:build (!amd64 && !arm64) || go1.28

package codec

const shortEscaped = 0

func unquoteLong(room, s []byte) int { return unquoteShort(room, s) }
