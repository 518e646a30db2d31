//go:build !purego

#include "textflag.h"

DATA quote<>+0(SB)/8, $0x2222222222222222
DATA quote<>+8(SB)/8, $0x2222222222222222
DATA quote<>+16(SB)/8, $0x2222222222222222
DATA quote<>+24(SB)/8, $0x2222222222222222
GLOBL quote<>(SB), RODATA|NOPTR, $32

DATA backslash<>+0(SB)/8, $0x5C5C5C5C5C5C5C5C
DATA backslash<>+8(SB)/8, $0x5C5C5C5C5C5C5C5C
DATA backslash<>+16(SB)/8, $0x5C5C5C5C5C5C5C5C
DATA backslash<>+24(SB)/8, $0x5C5C5C5C5C5C5C5C
GLOBL backslash<>(SB), RODATA|NOPTR, $32

// The last control character.
DATA control<>+0(SB)/8, $0x1F1F1F1F1F1F1F1F
DATA control<>+8(SB)/8, $0x1F1F1F1F1F1F1F1F
DATA control<>+16(SB)/8, $0x1F1F1F1F1F1F1F1F
DATA control<>+24(SB)/8, $0x1F1F1F1F1F1F1F1F
GLOBL control<>(SB), RODATA|NOPTR, $32

// MARK makes of the 64 bytes in Y4 and Y5 their 64 marks, in AX.
#define MARK \
	VPCMPEQB Y0, Y4, Y6; \
	VPCMPEQB Y1, Y4, Y7; \
	VPMINUB Y2, Y4, Y8; \
	VPCMPEQB Y8, Y4, Y8; \
	VPOR Y6, Y7, Y6; \
	VPOR Y8, Y6, Y6; \
	VPMOVMSKB Y6, AX; \
	VPCMPEQB Y0, Y5, Y6; \
	VPCMPEQB Y1, Y5, Y7; \
	VPMINUB Y2, Y5, Y8; \
	VPCMPEQB Y8, Y5, Y8; \
	VPOR Y6, Y7, Y6; \
	VPOR Y8, Y6, Y6; \
	VPMOVMSKB Y6, DX; \
	SHLQ $32, DX; \
	ORQ  DX, AX

// func markAVX2(dst *byte, src *byte, n int) (high uint64)
//
// A block of 64 bytes becomes 64 bits. A byte is marked if it equals a quote or a
// backslash, or if it is no more than 0x1F: min(x, 0x1F) == x, unsigned.
TEXT ·markAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ CX, R9
	XORQ R8, R8                   // high bits of the last block
	VMOVDQU quote<>(SB), Y0
	VMOVDQU backslash<>(SB), Y1
	VMOVDQU control<>(SB), Y2
	VPXOR Y3, Y3, Y3              // all bytes of whole blocks, ored
	SUBQ $64, CX
	JLT  tail

block:
	VMOVDQU (SI), Y4
	VMOVDQU 32(SI), Y5
	VPOR Y4, Y3, Y3
	VPOR Y5, Y3, Y3
	MARK
	MOVQ AX, (DI)
	ADDQ $64, SI
	ADDQ $8, DI
	SUBQ $64, CX
	JGE  block

tail:
	ADDQ $64, CX                  // bytes left, 0 to 63
	JZ   done

	// Load 64 bytes that hold them. Where a block came before, those that end with
	// the last one. Else those that begin with the first one, if they don't reach
	// into the next page; if they do, those that end with the last one begin in
	// this page. What was loaded too much is masked out or shifted out.
	CMPQ R9, $64
	JGE  before
	MOVQ SI, R10
	ANDQ $4095, R10
	CMPQ R10, $4032
	JGT  before
	VMOVDQU (SI), Y4
	VMOVDQU 32(SI), Y5
	MOVQ $-1, R11
	SHLQ CX, R11
	NOTQ R11                      // the bits to keep
	XORQ CX, CX                   // the shift
	JMP  last

before:
	VMOVDQU -64(SI)(CX*1), Y4
	VMOVDQU -32(SI)(CX*1), Y5
	NEGQ CX
	ADDQ $64, CX                  // the shift
	MOVQ $-1, R11

last:
	VPMOVMSKB Y4, R8
	VPMOVMSKB Y5, R12
	SHLQ $32, R12
	ORQ  R12, R8
	MARK
	ANDQ R11, AX
	ANDQ R11, R8
	SHRQ CX, AX
	SHRQ CX, R8
	MOVQ AX, (DI)
	ADDQ $8, DI

done:
	MOVQ $0, (DI)                 // a load from the last bits on is one of eight bytes
	VPMOVMSKB Y3, AX
	ORQ  AX, R8
	MOVQ R8, high+24(FP)
	VZEROUPPER
	RET
