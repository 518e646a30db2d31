package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// This file is what is kept of secrets.

// passwordHash is what is kept of a password: the argon2id with its parameters.
type passwordHash struct {
	memory, time uint32 // KiB, passes
	threads      uint8
	salt, sum    []byte
}

// What new passwords are hashed with: the least that OWASP's password storage cheat sheet
// asks for, since a server computes it while it serves. It takes 19 MiB.
const (
	hashMemory  = 19 << 10
	hashTime    = 2
	hashThreads = 1
	saltBytes   = 16
	sumBytes    = 32
)

// What a file may ask for: more would take the server's memory or its time.
const (
	maxHashMemory = 256 << 10
	maxHashTime   = 16
)

// The lengths of passwords, in bytes.
const (
	MinPasswordBytes = 8
	MaxPasswordBytes = 1024
)

// newPassword hashes a password with a new salt.
func newPassword(password []byte) (passwordHash, error) {
	if len(password) < MinPasswordBytes || len(password) > MaxPasswordBytes {
		return passwordHash{}, fmt.Errorf("a password has %d to %d bytes", MinPasswordBytes, MaxPasswordBytes)
	}
	h := passwordHash{memory: hashMemory, time: hashTime, threads: hashThreads, salt: make([]byte, saltBytes), sum: make([]byte, sumBytes)}
	rand.Read(h.salt) // it never fails
	h.sum = h.hash(password)
	return h, nil
}

// newDummy returns a hash that no password has, and that takes as long as like's.
func newDummy(like passwordHash) passwordHash {
	like.salt, like.sum = bytes.Clone(like.salt), make([]byte, len(like.sum))
	rand.Read(like.salt)
	rand.Read(like.sum)
	return like
}

func (h *passwordHash) hash(password []byte) []byte {
	return argon2.IDKey(password, h.salt, h.time, h.memory, h.threads, uint32(len(h.sum)))
}

func (h *passwordHash) equal(o *passwordHash) bool {
	return bytes.Equal(h.salt, o.salt) && subtle.ConstantTimeCompare(h.sum, o.sum) == 1
}

// String returns the hash in the form of the argon2 reference implementation.
func (h passwordHash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.sum))
}

var errNotArgon2 = errors.New("want $argon2id$v=19$m=…,t=…,p=…$salt$hash")

// parsePassword is the reverse of String.
func parsePassword(text string) (h passwordHash, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errNotArgon2
	}
	var rest string
	if n, _ := fmt.Sscanf(parts[3]+" ", "m=%d,t=%d,p=%d%1s", &h.memory, &h.time, &h.threads, &rest); n != 3 {
		return h, errNotArgon2
	}
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil {
		return h, errNotArgon2
	}
	if h.sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil {
		return h, errNotArgon2
	}
	switch {
	case h.threads < 1 || h.memory < 8*uint32(h.threads) || h.memory > maxHashMemory:
		return h, fmt.Errorf("m is %d KiB for %d lanes, want 8 each to %d", h.memory, h.threads, maxHashMemory)
	case h.time < 1 || h.time > maxHashTime:
		return h, fmt.Errorf("t is %d, want 1 to %d", h.time, maxHashTime)
	case len(h.salt) < 8 || len(h.salt) > 64 || len(h.sum) < 16 || len(h.sum) > 64:
		return h, errors.New("want a salt of 8 to 64 bytes, and a hash of 16 to 64")
	}
	return h, nil
}

// newToken returns a new token's text, and what is kept of it.
func newToken() (text string, sum [sha256.Size]byte) {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // it never fails
	text = base64.RawURLEncoding.EncodeToString(secret)
	return text, sha256.Sum256([]byte(text))
}

// newID returns what a token is called.
func newID() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
