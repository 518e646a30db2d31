//go:build !invariants

package engine

const invariants = false

func mangle([]byte) {}

type sampler struct{}

func (*sampler) afterBatch(*Engine, int) {}
