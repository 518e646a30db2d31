//go:build race || invariants

package main_test

// sameServer is whether these tests are built another way while the server that they start is
// not: the detector doesn't see into it, and it checks no invariants.
const sameServer = true
