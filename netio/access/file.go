package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"keyframe/codec"
)

// This file is the file of users. It is right as a whole, or not used at all.

// The most that a file may have.
const (
	maxFileBytes = 32 << 20
	maxNameBytes = 128
	maxPrefixes  = 1024
	maxTokens    = 1024
)

// document is the file's text.
type document struct {
	Users []*record `json:"users"`
}

// record is a user there.
type record struct {
	Name     string        `json:"name"`
	Password string        `json:"password,omitempty"`
	Tokens   []tokenRecord `json:"tokens,omitempty"`
	Allow    Rights        `json:"allow"`
}

type tokenRecord struct {
	ID      string     `json:"id"`
	SHA256  string     `json:"sha256"`
	Expires *time.Time `json:"expires,omitempty"`
}

// Rights are what a user may do: the prefixes of keys for each class, of which "" is that of
// all keys.
type Rights struct {
	Read  []string `json:"read,omitempty"`
	Write []string `json:"write,omitempty"`
	Scan  []string `json:"scan,omitempty"`
	Admin bool     `json:"admin,omitempty"`
}

// Load reads a file of users. It refuses one that somebody else can write.
func Load(path string) (*Users, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	us, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return us, nil
}

// read returns the text of a file that nobody else can write.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s has the mode %04o: others may write it, want 0600", path, info.Mode().Perm())
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s belongs to the user %d, who may write it: it must be this process's own, or root's", path, owner.Uid)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d MiB", path, maxFileBytes>>20)
	}
	return text, err
}

// Parse returns the users of a file's text, or an error that names every fault of it.
func Parse(text []byte) (*Users, error) {
	doc, err := parse(text)
	if err != nil {
		return nil, err
	}
	us, err := doc.users()
	if err == nil {
		us.sum = sha256.Sum256(text)
	}
	return us, err
}

func parse(text []byte) (*document, error) {
	if err := checkNames(text); err != nil {
		return nil, err
	}
	doc := new(document)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(doc); err != nil {
		return nil, fmt.Errorf("not a file of users: %w", err)
	}
	return doc, nil
}

// checkNames refuses text that has a member twice, which encoding/json takes the last of, or
// more after its value.
func checkNames(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	var objects []map[string]bool // nil: an array
	name := false                 // a name is next
	for {
		t, err := dec.Token()
		if err == io.EOF && len(objects) == 0 && dec.InputOffset() > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("not a file of users: %w", err)
		}
		switch {
		case t == json.Delim('{'):
			objects = append(objects, map[string]bool{})
		case t == json.Delim('['):
			objects = append(objects, nil)
		case t == json.Delim('}') || t == json.Delim(']'):
			objects = objects[:len(objects)-1]
		case name:
			top := objects[len(objects)-1]
			if text := t.(string); top[text] {
				return fmt.Errorf("not a file of users: the member %q is there twice, before byte %d", text, dec.InputOffset())
			}
			top[t.(string)] = true
			name = false
			continue
		}
		name = len(objects) > 0 && objects[len(objects)-1] != nil
		if len(objects) == 0 {
			if _, err := dec.Token(); err != io.EOF {
				return errors.New("not a file of users: there is more after the object")
			}
			return nil
		}
	}
}

// users checks the whole document and makes the users that it is about.
func (doc *document) users() (*Users, error) {
	us := &Users{byName: make(map[string]*User, len(doc.Users)), byToken: make(map[[sha256.Size]byte]*token)}
	us.dummy = passwordHash{memory: hashMemory, time: hashTime, threads: hashThreads, salt: make([]byte, saltBytes), sum: make([]byte, sumBytes)}
	hasPassword := false
	var faults []error
	for i, r := range doc.Users {
		if r == nil {
			faults = append(faults, fmt.Errorf("user %d is null", i))
			continue
		}
		fault := func(err error) {
			faults = append(faults, fmt.Errorf("user %q: %w", r.Name, err))
		}
		u := &User{Name: r.Name}
		if err := checkName(r.Name); err != nil {
			fault(err)
		}
		if us.byName[r.Name] != nil {
			fault(errors.New("the name is there twice"))
		}
		us.byName[r.Name] = u
		if r.Password != "" {
			h, err := parsePassword(r.Password)
			if err != nil {
				fault(fmt.Errorf("password: %w", err))
			}
			if u.password = &h; !hasPassword {
				us.dummy, hasPassword = h, true
			}
		}
		if len(r.Tokens) > maxTokens {
			fault(fmt.Errorf("%d tokens, want at most %d", len(r.Tokens), maxTokens))
		}
		for _, tr := range r.Tokens {
			t, err := tr.token(u)
			switch {
			case err != nil:
				fault(fmt.Errorf("token %q: %w", tr.ID, err))
			case us.byToken[t.sum] != nil:
				fault(fmt.Errorf("token %q: it is there twice", tr.ID))
			case u.hasToken(tr.ID):
				fault(fmt.Errorf("token %q: another of this name", tr.ID))
			default:
				us.byToken[t.sum] = t
				u.tokens = append(u.tokens, t)
			}
		}
		if err := r.Allow.check(); err != nil {
			fault(err)
		}
		u.allow(r.Allow)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	us.dummy = newDummy(us.dummy)
	return us, nil
}

func (u *User) hasToken(id string) bool {
	for _, t := range u.tokens {
		if t.id == id {
			return true
		}
	}
	return false
}

// allow gives the user his rights.
func (u *User) allow(r Rights) {
	u.keys[codec.ClassRead] = newKeys(r.Read)
	u.keys[codec.ClassWrite] = newKeys(r.Write)
	u.keys[codec.ClassRead|codec.ClassWrite] = newKeys(both(r.Read, r.Write))
	u.scan = newKeys(r.Scan)
	u.admin = r.Admin
}

func (r *Rights) check() error {
	for _, class := range []struct {
		name     string
		prefixes []string
	}{{"read", r.Read}, {"write", r.Write}, {"scan", r.Scan}} {
		if class.prefixes != nil && len(class.prefixes) == 0 {
			return fmt.Errorf(`allow: %s has no prefixes: leave it out, or write [""] for all keys`, class.name)
		}
		if len(class.prefixes) > maxPrefixes {
			return fmt.Errorf("allow: %s has %d prefixes, want at most %d", class.name, len(class.prefixes), maxPrefixes)
		}
		for _, p := range class.prefixes {
			if len(p) > codec.DefaultMaxKeyBytes || !utf8.ValidString(p) {
				return fmt.Errorf("allow: %s has a prefix that begins no key", class.name)
			}
		}
	}
	return nil
}

// checkName refuses names that a header can't have, or a log should not.
func checkName(name string) error {
	if len(name) == 0 || len(name) > maxNameBytes {
		return fmt.Errorf("a name has 1 to %d bytes", maxNameBytes)
	}
	for _, r := range name {
		if r == ':' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return errors.New("a name has no colons, and nothing that can't be printed")
		}
	}
	return nil
}

func (tr *tokenRecord) token(u *User) (*token, error) {
	t := &token{user: u, id: tr.ID}
	if err := checkName(tr.ID); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(tr.SHA256)
	if err != nil || len(sum) != len(t.sum) {
		return nil, fmt.Errorf("sha256: want %d hexadecimal digits", 2*len(t.sum))
	}
	copy(t.sum[:], sum)
	if tr.Expires != nil {
		t.expires = *tr.Expires
	}
	return t, nil
}
