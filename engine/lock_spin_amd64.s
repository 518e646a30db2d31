//go:build !race

#include "textflag.h"

// func storeRelease(p *uint32)
TEXT ·storeRelease(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	MOVL $0, (AX)
	RET

// func storeCount(p *int64, n int64)
TEXT ·storeCount(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), CX
	MOVQ CX, (AX)
	RET

// func pause(n uint32)
TEXT ·pause(SB), NOSPLIT, $0-4
	MOVL n+0(FP), CX
loop:
	PAUSE
	SUBL $1, CX
	JHI  loop
	RET
