//go:build !race && !invariants

package main_test

const sameServer = false
