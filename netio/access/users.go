package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"keyframe/codec"
)

// Users are those of a file at one time. They never change, so any goroutine may use them.
type Users struct {
	byName  map[string]*User
	byToken map[[sha256.Size]byte]*token
	dummy   passwordHash      // for names that nobody has
	sum     [sha256.Size]byte // of the file's text
}

// User is one of them. It never changes.
type User struct {
	Name string

	password *passwordHash // nil: there is none
	tokens   []*token
	keys     [4]Keys // by the classes read and write: 0 has all keys
	scan     Keys
	admin    bool
}

// token is one of a user's.
type token struct {
	user    *User
	id      string
	sum     [sha256.Size]byte
	expires time.Time // zero: never
}

// Why a proof is refused.
var (
	// ErrWrong is a name, a password or a token that is not right.
	ErrWrong = errors.New("wrong user, password or token")
	// ErrExpired is a token whose time is over.
	ErrExpired = errors.New("the token's time is over")
)

// Len returns how many there are.
func (us *Users) Len() int { return len(us.byName) }

// Has reports whether there is a user of that name.
func (us *Users) Has(name string) bool { return us.byName[name] != nil }

// Method is by which kind of proof somebody is a user.
type Method uint8

// The methods.
const (
	ByPassword Method = iota
	ByToken
	ByCertificate

	NumMethods = int(ByCertificate) + 1
)

func (m Method) String() string {
	return [NumMethods]string{"password", "token", "certificate"}[m]
}

// Login is a user, and the proof by which a connection is his. It never changes.
type Login struct {
	User    *User
	Method  Method
	Expires time.Time // zero: never

	token    *token
	password passwordHash
}

// ByToken returns the login of a token's holder. Its map is asked for the SHA-256, so how long
// that takes says nothing about the token.
func (us *Users) ByToken(secret []byte, now time.Time) (*Login, error) {
	sum := sha256.Sum256(secret)
	t := us.byToken[sum]
	if t == nil || subtle.ConstantTimeCompare(t.sum[:], sum[:]) != 1 {
		return nil, ErrWrong
	}
	if t.isOver(now) {
		return nil, ErrExpired
	}
	return &Login{User: t.user, Method: ByToken, Expires: t.expires, token: t}, nil
}

// ByCertificate returns the login of the first of the names, of a verified certificate, that
// is a user's; nil if none is.
func (us *Users) ByCertificate(names ...string) *Login {
	for _, name := range names {
		if u := us.byName[name]; u != nil {
			return &Login{User: u, Method: ByCertificate}
		}
	}
	return nil
}

// Renew returns what a login made with earlier Users is now, nil if it is none any more: the
// user, his token or his password has gone.
func (us *Users) Renew(old *Login, now time.Time) *Login {
	l := *old
	if l.User = us.byName[old.User.Name]; l.User == nil {
		return nil
	}
	switch old.Method {
	case ByToken:
		l.token = us.byToken[old.token.sum]
		if l.token == nil || l.token.user != l.User || l.token.isOver(now) {
			return nil
		}
		l.Expires = l.token.expires
	case ByPassword:
		if l.User.password == nil || !l.User.password.equal(&old.password) {
			return nil
		}
	}
	return &l
}

func (t *token) isOver(now time.Time) bool { return !t.expires.IsZero() && !now.Before(t.expires) }

// Keys returns the keys that the user may use with commands of a class, as far as that is
// about keys: read, write, or both.
func (u *User) Keys(class codec.Class) *Keys {
	return &u.keys[class&(codec.ClassRead|codec.ClassWrite)]
}

// Admin reports whether he has the class admin.
func (u *User) Admin() bool { return u.admin }

// MayScan reports whether he may be told the keys with a prefix, as one who has the class
// scan for it.
func (u *User) MayScan(prefix []byte) bool { return u.scan.Has(prefix) }

// Keys are those with one of a few prefixes. The zero value has all.
type Keys struct {
	// The first prefix, if it has at most two words of a key: its first word, and its last,
	// which begins at the byte at. Of a prefix that is no more than a word that is 0.
	head, headMask uint64
	tail, tailMask uint64
	at             int
	prefixes       []string // all of them
}

// wordBytes is how much of a key is compared at once.
const wordBytes = 8

// newKeys returns the keys that begin with one of the prefixes.
func newKeys(prefixes []string) (k Keys) {
	switch {
	case slices.Contains(prefixes, ""):
		return Keys{}
	case len(prefixes) == 0 || len(prefixes[0]) > 2*wordBytes:
		k.head = 1 // no key has it: the mask is 0
	default:
		first := prefixes[0]
		k.at = max(0, len(first)-wordBytes)
		k.head, k.headMask = wordOf(first[:min(len(first), wordBytes)])
		k.tail, k.tailMask = wordOf(first[k.at:])
	}
	k.prefixes = slices.Clone(prefixes)
	return k
}

func wordOf(prefix string) (word, mask uint64) {
	var text, ones [wordBytes]byte
	copy(text[:], prefix)
	for i := range prefix {
		ones[i] = 0xFF
	}
	return binary.LittleEndian.Uint64(text[:]), binary.LittleEndian.Uint64(ones[:])
}

// Has reports whether a key, or all keys with that prefix, are among them.
func (k *Keys) Has(key []byte) bool { return k.seen(key) || k.hasSlow(key) }

// SeesAll reports whether it is seen at a glance that the keys of all elements are among them; if
// it is not, Has knows. It calls nothing and is inlined: a command of one key pays for no call.
func (k *Keys) SeesAll(args []codec.Arg) bool {
	for i := range args {
		if !k.seen(args[i].Key) {
			return false
		}
	}
	return true
}

// seen reports whether a word or two are enough to see that a key is among them.
func (k *Keys) seen(key []byte) bool {
	return len(key) >= wordBytes && binary.LittleEndian.Uint64(key)&k.headMask == k.head &&
		(k.at == 0 || len(key) >= k.at+wordBytes && binary.LittleEndian.Uint64(key[k.at:])&k.tailMask == k.tail)
}

// hasSlow is Has without words. It is not inlined, for the sake of the loops that Has is in: not
// yet measured alone.
//
//go:noinline
func (k *Keys) hasSlow(key []byte) bool {
	if k.head == 0 && k.headMask == 0 {
		return true
	}
	for _, p := range k.prefixes {
		if len(key) >= len(p) && string(key[:len(p)]) == p {
			return true
		}
	}
	return false
}

// both returns the prefixes of what begins with one of a and with one of b.
func both(a, b []string) (out []string) {
	for _, p := range a {
		for _, q := range b {
			switch {
			case strings.HasPrefix(p, q):
				out = append(out, p)
			case strings.HasPrefix(q, p):
				out = append(out, q)
			}
		}
	}
	return out
}

// Equal reports whether both come from the same text.
func (us *Users) Equal(o *Users) bool { return us == o || us != nil && o != nil && us.sum == o.sum }
