package netio

import (
	"time"

	"keyframe/codec"
)

// This file is how long a turn may be. A turn's share is what its work costs, in
// nanoseconds as they were measured on one machine: commands that arrive in the same bytes
// may cost a thousand times as much as others. What the weights don't know, cold caches, a
// slower machine, a store that is cleared, the clock finds out: it is looked at whenever
// so much has been done that it should be, and in between nobody pays for it.

const (
	// A turn ends after turnCost, or when it has taken turnTime. A read brings 64 KiB,
	// some 1,600 SETs, which cost 160 µs: most turns end because there is nothing more to
	// do. With half of it, four floods of SETs of 1,000 keys are through with 3 % less.
	turnCost = 250_000
	turnTime = 250 * time.Microsecond

	// readyTime is how long the connections that have work left have their turns before the
	// loop looks at its sockets once more: a newcomer's command needn't wait for all.
	readyTime = time.Millisecond

	// lookEvery is after how much cost the clock is looked at. Looking takes 30 ns.
	lookEvery = 50_000

	// A turn that begins with clockedBytes of input notes when. One of less is over before
	// the clock is looked at, or has begun lookEvery before that.
	clockedBytes = 4 << 10

	// A turn also ends after turnOutputBytes of answers. They cost half of that in
	// nanoseconds; it bounds what one batch may read from the store, and so what a
	// connection has unread. What the store works on besides counts as if it were read.
	turnOutputBytes = 1 << 20

	// A long command is checked checkBytes at a time: 6 µs if it is SETs of short values,
	// 110 if it is nothing but brackets (BenchmarkCheckStep). The clock is looked at after
	// each.
	checkBytes = 16 << 10

	// bigPayload is the length from which a command is long: it is checked in steps, alone
	// in its batch, and decoded in parts of about as many bytes. A batch that stops half
	// way would have it decoded again in each of its turns. 64 KiB are decoded in one go
	// in 0.4 ms at the very most.
	bigPayload = 64 << 10
)

// What things cost, in nanoseconds. BenchmarkServerBesideFlood says what a flood of each
// makes of a loop that does nothing else: the kernel's work is in it.
const (
	// Of 38 bytes, with an answer of 45: SETs of 1,000 keys take 95 to 100 ns a key,
	// 1 M keys in the store, of which 41 are for the bytes.
	costElement = 55
	// Blank lines take 13 to 25 ns, commands without elements no less.
	costUnit = 20
	// Pings of 6 bytes take 73 ns, their answers and costUnit in it; fragments 45.
	costFrame = 40
	// Lines of 2 bytes that are no JSON take 500 ns, their answers of 80 bytes in it.
	costRefusal = 440
	// COUNT takes 190 ns, CLEAR of an empty store 700, SERVER_INFO 4,500.
	costCount      = 150
	costPing       = 150
	costClear      = 650
	costServerInfo = 4000

	// Bytes scanned, stored, read and sent, each way: half a nanosecond. SETs of 1,000
	// keys are checked and decoded at 0.3, GETs of 1 MiB read and sent at 0.43.
	byteShift = 1
)

// shares are the sizes that the work of a loop is cut into. They are a server's and not
// constants so that a simulation, with small ones, meets their ends all the time.
type shares struct {
	batchOps, turnCost, lookEvery, turnOutputBytes, checkBytes, bigPayload, parkBytes, scanKeys int
	turnTime, readyTime                                                                         time.Duration
}

var defaultShares = shares{batchOps, turnCost, lookEvery, turnOutputBytes, checkBytes, bigPayload, parkBytes, scanKeys, turnTime, readyTime}

// costs is what a turn has done so far.
type costs struct {
	shares *shares
	now    func() time.Time
	spent  int       // without the answers
	lookAt int       // what must have been spent, with the answers, before the share may be over
	began  time.Time // zero: it was not noted
}

// begin begins a turn, for so many bytes of input.
func (c *costs) begin(input int) {
	c.spent, c.lookAt, c.began = 0, min(c.shares.lookEvery, c.shares.turnCost), time.Time{}
	if input >= clockedBytes {
		c.began = c.now()
	}
}

// isOver reports whether the turn has used its share, with so many bytes of answers.
func (c *costs) isOver(output int) bool {
	spent := c.spent + output>>byteShift
	return spent >= c.lookAt && c.isOverSlow(spent, output)
}

func (c *costs) isOverSlow(spent, output int) bool {
	if spent >= c.shares.turnCost || output >= c.shares.turnOutputBytes {
		return true
	}
	c.lookAt = min(spent+c.shares.lookEvery, c.shares.turnCost)
	now := c.now()
	if c.began.IsZero() {
		c.began = now.Add(-time.Duration(spent))
	}
	return now.Sub(c.began) >= c.shares.turnTime
}

// bytes adds the cost of scanning n bytes. It takes nothing away if a check has gone back.
func (c *costs) bytes(n int) { c.spent += max(0, n) >> byteShift }

// mustLook has the clock looked at before anything else is begun.
func (c *costs) mustLook() { c.lookAt = 0 }

// storeCosts are those of commands about the whole store.
var storeCosts = [codec.NumEffects]int{
	codec.EffectCount:      costCount,
	codec.EffectClear:      costClear,
	codec.EffectServerInfo: costServerInfo,
	codec.EffectPing:       costPing,
	codec.EffectClearSet:   costClear,
	codec.EffectSave:       costPing, // its work is done elsewhere
	codec.EffectAuth:       costPing, // as is that of this one
}
