package resp

import "keyframe/codec"

// This file is the table of commands: one row a command. What a client is told of commands,
// what they are counted as and what they need to be allowed is made from it.

// ID is a command as a number.
type ID uint8

// Command is a row of the table.
type Command struct {
	Name  string // in lower case
	ID    ID
	Arity int // how many words it has; at least so many if negative
	Flags Flags
	// Which words are keys: from First to Last, from the end if negative, each Step-th. First
	// is 0 if none are.
	First, Last, Step int
	// Op is the command of the contract that it is like: it is counted as that one, and a
	// client that may not use that one may not use this. 0: it touches no keys.
	Op codec.Opcode

	Group, Syntax, Summary string // for people
}

// Flags are what Redis's COMMAND says of a command.
type Flags uint8

// The flags.
const (
	Write Flags = 1 << iota
	ReadOnly
	DenyOOM // it may need memory
	Fast
	NoAuth // it is served before a client has said who it is
	Admin
	Refused // it is known, and answered with an error that says why it isn't served
)

// The commands.
const (
	_ ID = iota
	Append
	Auth
	BgSave
	Client
	CommandInfo
	Config
	DBSize
	Decr
	DecrBy
	Del
	Discard
	Echo
	Exec
	Exists
	Expire
	ExpireAt
	ExpireTime
	FlushAll
	FlushDB
	Get
	GetDel
	GetEx
	GetSet
	Hello
	Incr
	IncrBy
	IncrByFloat
	Info
	JSONDel
	JSONGet
	JSONMGet
	JSONSet
	JSONType
	Keys
	LastSave
	Memory
	MGet
	MSet
	MSetNX
	Multi
	Object
	Persist
	PExpire
	PExpireAt
	PExpireTime
	Ping
	PSetEx
	PTTL
	Quit
	RandomKey
	Rename
	RenameNX
	Reset
	Save
	Scan
	Select
	Set
	SetEx
	SetNX
	Shutdown
	StrLen
	Touch
	TTL
	Type
	Unlink
	Unwatch
	Wait
	Watch

	numIDs
)

const all = -1 // keys go on to the last word

// table has the commands by ID.
var table = [numIDs]Command{
	Append:      {"append", 0, 3, Write | DenyOOM | Fast, 1, 1, 1, codec.OpAppend, "string", "key value", "Appends to a value, or sets it if there is none."},
	Auth:        {"auth", 0, -2, NoAuth | Fast, 0, 0, 0, codec.OpAuth, "connection", "[username] password", "Says who the client is."},
	BgSave:      {"bgsave", 0, -1, Admin, 0, 0, 0, codec.OpSave, "server", "[SCHEDULE]", "Begins a snapshot on disk."},
	Client:      {"client", 0, -2, 0, 0, 0, 0, 0, "connection", "ID|SETNAME|GETNAME|SETINFO|INFO|LIST|KILL|NO-EVICT|NO-TOUCH [argument ...]", "Commands about connections."},
	CommandInfo: {"command", 0, -1, 0, 0, 0, 0, 0, "server", "[COUNT|DOCS|INFO|LIST|GETKEYS] [argument ...]", "Describes the commands."},
	Config:      {"config", 0, -2, 0, 0, 0, 0, 0, "server", "GET pattern [pattern ...]", "Reads options."},
	DBSize:      {"dbsize", 0, 1, ReadOnly | Fast, 0, 0, 0, codec.OpCount, "server", "", "Counts the keys."},
	Decr:        {"decr", 0, 2, Write | DenyOOM | Fast, 1, 1, 1, codec.OpIncr, "string", "key", "Takes one from a number."},
	DecrBy:      {"decrby", 0, 3, Write | DenyOOM | Fast, 1, 1, 1, codec.OpIncr, "string", "key decrement", "Takes something from a number."},
	Del:         {"del", 0, -2, Write, 1, all, 1, codec.OpRemove, "generic", "key [key ...]", "Removes keys."},
	Discard:     {"discard", 0, 1, Refused, 0, 0, 0, 0, "transactions", "", "Transactions are not served."},
	Echo:        {"echo", 0, 2, Fast, 0, 0, 0, 0, "connection", "message", "Answers with what it is given."},
	Exec:        {"exec", 0, 1, Refused, 0, 0, 0, 0, "transactions", "", "Transactions are not served."},
	Exists:      {"exists", 0, -2, ReadOnly | Fast, 1, all, 1, codec.OpContains, "generic", "key [key ...]", "Counts which of the keys exist."},
	Expire:      {"expire", 0, -3, Write | Fast, 1, 1, 1, codec.OpExpire, "generic", "key seconds [NX|XX|GT|LT]", "Gives a key a deadline, in seconds from now."},
	ExpireAt:    {"expireat", 0, -3, Write | Fast, 1, 1, 1, codec.OpExpire, "generic", "key unix-time-seconds [NX|XX|GT|LT]", "Gives a key a deadline, in seconds since 1970."},
	ExpireTime:  {"expiretime", 0, 2, ReadOnly | Fast, 1, 1, 1, codec.OpTTL, "generic", "key", "Reads a key's deadline, in seconds since 1970."},
	FlushAll:    {"flushall", 0, -1, Write, 0, 0, 0, codec.OpClear, "server", "[ASYNC|SYNC]", "Removes all keys."},
	FlushDB:     {"flushdb", 0, -1, Write, 0, 0, 0, codec.OpClear, "server", "[ASYNC|SYNC]", "Removes all keys."},
	Get:         {"get", 0, 2, ReadOnly | Fast, 1, 1, 1, codec.OpGet, "string", "key", "Reads a value."},
	GetDel:      {"getdel", 0, 2, Write | Fast, 1, 1, 1, codec.OpTake, "string", "key", "Reads a value and removes its key."},
	GetEx:       {"getex", 0, -2, Write | Fast, 1, 1, 1, codec.OpExpire, "string", "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]", "Reads a value and gives its key a deadline."},
	GetSet:      {"getset", 0, 3, Write | DenyOOM | Fast, 1, 1, 1, codec.OpSwap, "string", "key value", "Sets a value and answers with the one before."},
	Hello:       {"hello", 0, -1, NoAuth | Fast, 0, 0, 0, 0, "connection", "[protover] [AUTH username password] [SETNAME clientname]", "Chooses RESP2 or RESP3."},
	Incr:        {"incr", 0, 2, Write | DenyOOM | Fast, 1, 1, 1, codec.OpIncr, "string", "key", "Adds one to a number."},
	IncrBy:      {"incrby", 0, 3, Write | DenyOOM | Fast, 1, 1, 1, codec.OpIncr, "string", "key increment", "Adds to a number."},
	IncrByFloat: {"incrbyfloat", 0, 3, Write | DenyOOM | Fast, 1, 1, 1, codec.OpIncr, "string", "key increment", "Adds to a number with a fraction."},
	Info:        {"info", 0, -1, 0, 0, 0, 0, codec.OpServerInfo, "server", "[section ...]", "Describes the server."},
	JSONDel:     {"json.del", 0, -2, Write, 1, 1, 1, codec.OpRemove, "module", "key [path]", "Removes a key; the path is $ or ."},
	JSONGet:     {"json.get", 0, -2, ReadOnly, 1, 1, 1, codec.OpGet, "module", "key [path ...]", "Reads a value as JSON; the path is $ or ."},
	JSONMGet:    {"json.mget", 0, -3, ReadOnly, 1, -2, 1, codec.OpGet, "module", "key [key ...] path", "Reads values as JSON; the path is $ or ."},
	JSONSet:     {"json.set", 0, -4, Write | DenyOOM, 1, 1, 1, codec.OpSet, "module", "key path value [NX|XX]", "Sets a value that is JSON; the path is $ or ."},
	JSONType:    {"json.type", 0, -2, ReadOnly, 1, 1, 1, codec.OpGet, "module", "key [path]", "Says what a value is; the path is $ or ."},
	Keys:        {"keys", 0, 2, ReadOnly, 0, 0, 0, codec.OpKeys, "generic", "pattern", "Lists the keys that match."},
	LastSave:    {"lastsave", 0, 1, Fast, 0, 0, 0, codec.OpServerInfo, "server", "", "Says when the last snapshot was made."},
	Memory:      {"memory", 0, -2, ReadOnly, 2, 2, 1, codec.OpGet, "server", "USAGE key [SAMPLES count]", "Says how much memory a key takes."},
	MGet:        {"mget", 0, -2, ReadOnly | Fast, 1, all, 1, codec.OpGet, "string", "key [key ...]", "Reads values."},
	MSet:        {"mset", 0, -3, Write | DenyOOM, 1, all, 2, codec.OpSet, "string", "key value [key value ...]", "Sets values."},
	MSetNX:      {"msetnx", 0, -3, Refused, 1, all, 2, codec.OpAdd, "string", "key value [key value ...]", "Not served: it would not be atomic."},
	Multi:       {"multi", 0, 1, Refused, 0, 0, 0, 0, "transactions", "", "Transactions are not served."},
	Object:      {"object", 0, -2, ReadOnly, 2, 2, 1, codec.OpGet, "generic", "ENCODING key", "Says how a value is kept."},
	Persist:     {"persist", 0, 2, Write | Fast, 1, 1, 1, codec.OpExpire, "generic", "key", "Takes a key's deadline away."},
	PExpire:     {"pexpire", 0, -3, Write | Fast, 1, 1, 1, codec.OpExpire, "generic", "key milliseconds [NX|XX|GT|LT]", "Gives a key a deadline, in milliseconds from now."},
	PExpireAt:   {"pexpireat", 0, -3, Write | Fast, 1, 1, 1, codec.OpExpire, "generic", "key unix-time-milliseconds [NX|XX|GT|LT]", "Gives a key a deadline, in milliseconds since 1970."},
	PExpireTime: {"pexpiretime", 0, 2, ReadOnly | Fast, 1, 1, 1, codec.OpTTL, "generic", "key", "Reads a key's deadline, in milliseconds since 1970."},
	Ping:        {"ping", 0, -1, Fast, 0, 0, 0, codec.OpPing, "connection", "[message]", "Answers."},
	PSetEx:      {"psetex", 0, 4, Write | DenyOOM, 1, 1, 1, codec.OpSetEx, "string", "key milliseconds value", "Sets a value with a deadline."},
	PTTL:        {"pttl", 0, 2, ReadOnly | Fast, 1, 1, 1, codec.OpTTL, "generic", "key", "Says how many milliseconds a key has left."},
	Quit:        {"quit", 0, -1, NoAuth | Fast, 0, 0, 0, 0, "connection", "", "Closes the connection."},
	RandomKey:   {"randomkey", 0, 1, ReadOnly, 0, 0, 0, codec.OpKeys, "generic", "", "Answers with some key."},
	Rename:      {"rename", 0, 3, Write, 1, 2, 1, codec.OpRename, "generic", "key newkey", "Gives a value another key, over what that has."},
	RenameNX:    {"renamenx", 0, 3, Write | Fast, 1, 2, 1, codec.OpRename, "generic", "key newkey", "Gives a value another key, unless that exists."},
	Reset:       {"reset", 0, 1, NoAuth | Fast, 0, 0, 0, 0, "connection", "", "Makes the connection what it was at its beginning."},
	Save:        {"save", 0, 1, Admin, 0, 0, 0, codec.OpSave, "server", "", "Makes a snapshot on disk."},
	Scan:        {"scan", 0, -2, ReadOnly, 0, 0, 0, codec.OpKeys, "generic", "cursor [MATCH pattern] [COUNT count] [TYPE type]", "Lists the keys, a page at a time."},
	Select:      {"select", 0, 2, Fast, 0, 0, 0, 0, "connection", "index", "Chooses the database; there is 0 only."},
	Set:         {"set", 0, -3, Write | DenyOOM, 1, 1, 1, codec.OpSet, "string", "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]", "Sets a value."},
	SetEx:       {"setex", 0, 4, Write | DenyOOM, 1, 1, 1, codec.OpSetEx, "string", "key seconds value", "Sets a value with a deadline."},
	SetNX:       {"setnx", 0, 3, Write | DenyOOM | Fast, 1, 1, 1, codec.OpAdd, "string", "key value", "Sets a value unless the key exists."},
	Shutdown:    {"shutdown", 0, -1, Refused | Admin, 0, 0, 0, 0, "server", "", "Not served: whoever started the server ends it."},
	StrLen:      {"strlen", 0, 2, ReadOnly | Fast, 1, 1, 1, codec.OpGet, "string", "key", "Says how long a value is, in bytes."},
	Touch:       {"touch", 0, -2, ReadOnly | Fast, 1, all, 1, codec.OpContains, "generic", "key [key ...]", "Counts which of the keys exist."},
	TTL:         {"ttl", 0, 2, ReadOnly | Fast, 1, 1, 1, codec.OpTTL, "generic", "key", "Says how many seconds a key has left."},
	Type:        {"type", 0, 2, ReadOnly | Fast, 1, 1, 1, codec.OpContains, "generic", "key", "Says that a value is a string."},
	Unlink:      {"unlink", 0, -2, Write | Fast, 1, all, 1, codec.OpRemove, "generic", "key [key ...]", "Removes keys."},
	Unwatch:     {"unwatch", 0, 1, Refused, 0, 0, 0, 0, "transactions", "", "Transactions are not served."},
	Wait:        {"wait", 0, 3, 0, 0, 0, 0, 0, "generic", "numreplicas timeout", "Answers 0: there are no replicas."},
	Watch:       {"watch", 0, -2, Refused, 1, all, 1, 0, "transactions", "key [key ...]", "Transactions are not served."},
}

// longestName is that of incrbyfloat, expiretime and pexpiretime.
const longestName = 11

// byName finds commands by the first eight bytes of their names, in lower case, and their
// lengths, which tell all of them apart.
var byName = func() (m [1 << nameBits][]*Command) {
	for id := range table {
		if c := &table[id]; c.Name != "" {
			c.ID = ID(id)
			h := nameHash(lowerWord([]byte(c.Name)), len(c.Name))
			m[h] = append(m[h], c)
		}
	}
	return m
}()

const nameBits = 9

func nameHash(word uint64, n int) uint64 {
	return (word + uint64(n)) * 0x9E3779B97F4A7C15 >> (64 - nameBits)
}

// lowerWord is the first eight bytes of a word, letters in lower case.
func lowerWord(b []byte) (w uint64) {
	for i := range min(len(b), 8) {
		w |= uint64(b[i]) << (8 * i)
	}
	// What is no letter may change, too; names are compared afterwards.
	return w | 0x2020202020202020
}

// Lookup returns the command of that name, in any case, or nil.
func Lookup(name []byte) *Command {
	if len(name) == 3 { // the usual ones, without a hash; a letter and its capital differ in a bit
		switch uint32(name[0]) | uint32(name[1])<<8 | uint32(name[2])<<16 | 0x202020 {
		case 'g' | 'e'<<8 | 't'<<16:
			return &table[Get]
		case 's' | 'e'<<8 | 't'<<16:
			return &table[Set]
		}
	}
	if len(name) > longestName {
		return nil
	}
	for _, c := range byName[nameHash(lowerWord(name), len(name))] {
		if Is(name, c.Name) {
			return c
		}
	}
	return nil
}

// Is reports whether a word is a name, which is given in lower case, in any case.
func Is(word []byte, name string) bool {
	if len(word) != len(name) {
		return false
	}
	for i := range len(name) {
		c := word[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// Commands returns the table's rows, by their names.
func Commands() []Command { return table[1:] }

// Takes reports whether the command may have n words, the name among them.
func (c *Command) Takes(n int) bool {
	if c.Arity < 0 {
		return n >= -c.Arity
	}
	return n == c.Arity
}

// Class is what a user must be allowed to do with the keys of the command, or with the store.
func (c *Command) Class() codec.Class {
	if c.ID == GetEx {
		return codec.ClassRead | codec.ClassWrite
	}
	return c.Op.Class()
}

// IsKey reports whether the word with that index is a key, of a command of n words.
func (c *Command) IsKey(i, n int) bool {
	if c.First == 0 {
		return false
	}
	last := c.Last
	if last < 0 {
		last += n
	}
	return i >= c.First && i <= last && (i-c.First)%c.Step == 0
}

// Begins reports whether a connection that begins with these bytes speaks this protocol: with
// an array, or with a line whose first word is a command. It is undecided as long as more
// bytes could make it one.
func Begins(first []byte) (yes, undecided bool) {
	if len(first) == 0 {
		return false, true
	}
	if first[0] == '*' {
		return true, false
	}
	n := 0
	for n < len(first) && n <= longestName && !isSpace(first[n]) {
		n++
	}
	if n < len(first) {
		return n <= longestName && Lookup(first[:n]) != nil && n > 0, false
	}
	for id := range table {
		if name := table[id].Name; len(name) >= n && n > 0 && Is(first, name[:n]) {
			return false, true
		}
	}
	return false, false
}
