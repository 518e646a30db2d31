#include "textflag.h"

// func prefetch(at *[8]uintptr, n int)
TEXT ·prefetch(SB), NOSPLIT, $0-16
	MOVQ at+0(FP), AX
	MOVQ n+8(FP), CX
loop:
	DECQ CX
	JLT  done
	MOVQ (AX)(CX*8), DX
	PREFETCHT0 (DX)
	JMP  loop
done:
	RET

// func prefetch2(at *[8]uintptr, n int)
TEXT ·prefetch2(SB), NOSPLIT, $0-16
	MOVQ at+0(FP), AX
	MOVQ n+8(FP), CX
loop2:
	DECQ CX
	JLT  done2
	MOVQ (AX)(CX*8), DX
	PREFETCHT0 (DX)
	PREFETCHT0 39(DX)
	JMP  loop2
done2:
	RET

// func prefetchVictim(record, line, other unsafe.Pointer)
TEXT ·prefetchVictim(SB), NOSPLIT, $0-24
	MOVQ record+0(FP), AX
	MOVQ line+8(FP), CX
	MOVQ other+16(FP), DX
	PREFETCHT0 (AX)
	PREFETCHT0 39(AX)
	PREFETCHT0 (CX)
	PREFETCHT0 (DX)
	RET

// func prefetchWrite(at *[8]uintptr, n int)
TEXT ·prefetchWrite(SB), NOSPLIT, $0-16
	MOVQ at+0(FP), AX
	MOVQ n+8(FP), CX
loop3:
	DECQ CX
	JLT  done3
	MOVQ (AX)(CX*8), DX
	BYTE $0x0F; BYTE $0x0D; BYTE $0x0A // PREFETCHW (DX), which the assembler lacks
	JMP  loop3
done3:
	RET
