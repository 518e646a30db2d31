// Package crashtest takes the power from a journal, in a file system of pebble's that knows
// what was synced: at any operation, with half of what was not synced lost, in the middle
// of snapshots, rotations, renames and recoveries. With half of the servers a snapshot's writes
// are only begun, some of them in vain, and the store goes on beside it. It is a module of its
// own, so that the server's has nothing of pebble in it. There is nothing here but tests.
package crashtest
