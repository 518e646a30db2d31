package access

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// This file is what changes a file of users. A change reads the file, checks it, and puts
// another in its place: nobody ever reads a half of it, and a crash leaves the old or the new
// one. Changes of several processes come one after the other.

// File is the file of users that is being changed.
type File struct{ doc *document }

// Entry is what is to be known of a user.
type Entry struct {
	Name        string
	HasPassword bool
	Tokens      []Token
	Rights      Rights
}

// Token is what is to be known of a token.
type Token struct {
	ID      string
	Expires time.Time // zero: never
}

// Change has change change the file at path, unless it returns an error. A file that isn't
// there is made, if create is set. Its mode is 0600.
func Change(path string, create bool, change func(*File) error) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the file is replaced, not what leads to it
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close() // and so unlocks it
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", dir.Name(), err)
	}
	f := &File{doc: new(document)}
	text, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
	case err != nil:
		return err
	default:
		if f.doc, err = parse(text); err == nil {
			_, err = f.doc.users()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := change(f); err != nil {
		return err
	}
	if _, err := f.doc.users(); err != nil {
		return err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(f.doc); err != nil {
		return err
	}
	return replace(path, dir, out.Bytes())
}

// replace puts a file with the text at path.
func replace(path string, dir *os.File, text []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // its mode is 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err == nil {
		err = dir.Sync()
	}
	return err
}

func (f *File) find(name string) (*record, error) {
	for _, r := range f.doc.Users {
		if r.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no user %q", name)
}

// Add adds a user, or with replace gives one other rights and, if there is one, another
// password. A password that is nil is none.
func (f *File) Add(name string, password []byte, rights Rights, replace bool) error {
	r, err := f.find(name)
	switch {
	case err != nil:
		r = &record{Name: name}
		f.doc.Users = append(f.doc.Users, r)
	case !replace:
		return fmt.Errorf("there is a user %q: --replace gives him other rights, and another password", name)
	}
	r.Allow = rights
	if password != nil {
		h, err := newPassword(password)
		if err != nil {
			return err
		}
		r.Password = h.String()
	}
	return nil
}

// AddToken gives a user a new token. Its text is nowhere else.
func (f *File) AddToken(name string, expires time.Time) (id, text string, err error) {
	r, err := f.find(name)
	if err != nil {
		return "", "", err
	}
	text, sum := newToken()
	tr := tokenRecord{ID: newID(), SHA256: hex.EncodeToString(sum[:])}
	if !expires.IsZero() {
		expires = expires.UTC().Truncate(time.Second)
		tr.Expires = &expires
	}
	r.Tokens = append(r.Tokens, tr)
	return tr.ID, text, nil
}

// Remove removes a user.
func (f *File) Remove(name string) error {
	if _, err := f.find(name); err != nil {
		return err
	}
	f.doc.Users = slices.DeleteFunc(f.doc.Users, func(r *record) bool { return r.Name == name })
	return nil
}

// RemoveToken removes a user's token.
func (f *File) RemoveToken(name, id string) error {
	r, err := f.find(name)
	if err != nil {
		return err
	}
	before := len(r.Tokens)
	r.Tokens = slices.DeleteFunc(r.Tokens, func(t tokenRecord) bool { return t.ID == id })
	if len(r.Tokens) == before {
		return fmt.Errorf("user %q has no token %q", name, id)
	}
	return nil
}

// List returns the users of a file that is right, in its order.
func List(path string) (entries []Entry, err error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	doc, err := parse(text)
	if err == nil {
		_, err = doc.users()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, r := range doc.Users {
		e := Entry{Name: r.Name, HasPassword: r.Password != "", Rights: r.Allow}
		for _, t := range r.Tokens {
			token := Token{ID: t.ID}
			if t.Expires != nil {
				token.Expires = *t.Expires
			}
			e.Tokens = append(e.Tokens, token)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
