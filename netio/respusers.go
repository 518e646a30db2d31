package netio

import (
	"keyframe/codec"
	"keyframe/codec/resp"
	"keyframe/netio/access"
)

// This file is who a client of Redis's protocol is, on a server with users, and what that lets
// it do: AUTH, HELLO AUTH, and the rights of each command, by the command of the contract that
// it is like.

const (
	errNoAuth    = "NOAUTH Authentication required."
	errNoPermKey = "NOPERM this user has no permissions to access one of the keys used as arguments"
	errWrongPass = "WRONGPASS invalid username-password pair or user is disabled."

	// errNoUsers is what Redis says where there are none.
	errNoUsers = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
)

// userMay reports whether the client may send a command, on a server with users, or answers
// it.
func (p *pipeline) userMay(w *words) bool {
	switch {
	case w.cmd.Flags&resp.NoAuth != 0:
		return true
	case p.user == nil:
		p.fail(w, ErrorUnauthenticated, errNoAuth)
		return false
	case w.cmd.First != 0:
		return p.userMayUse(w, w.cmd.Class())
	}
	cmd := codec.Command{Op: w.cmd.Op}
	switch w.cmd.ID {
	case resp.Scan, resp.Keys:
		cmd.Extra = &codec.Extra{Query: &codec.Query{Prefix: resp.Prefix(patternOf(w))}}
	case resp.Config:
		cmd.Op = codec.OpServerInfo
	case resp.Client:
		if sub := w.args[1]; resp.Is(sub, "list") || resp.Is(sub, "kill") {
			cmd.Op = codec.OpServerInfo
		}
	}
	if cmd.Op == 0 {
		return true
	}
	if why := p.denies(cmd); why != "" {
		p.fail(w, ErrorDenied, "NOPERM "+why)
		return false
	}
	return true
}

// patternOf is what SCAN and KEYS look for.
func patternOf(w *words) (pattern []byte) {
	if w.cmd.ID == resp.Keys {
		return w.args[1]
	}
	for i := 2; i+1 < len(w.args); i += 2 {
		if resp.Is(w.args[i], "match") {
			pattern = w.args[i+1] // the last one counts
		}
	}
	return pattern
}

// userMayUse reports whether the user may use the command's keys in the way of a class, or
// answers it. One that is handed out in parts is only for a user of all keys: the keys of the
// last part are not known when the first is executed.
func (p *pipeline) userMayUse(w *words, class codec.Class) bool {
	may := true
	if w.count > len(w.args) {
		may = p.may(class, nil)
	} else {
		for i := w.cmd.First; i < len(w.args); i++ {
			may = may && (!w.cmd.IsKey(i, len(w.args)) || p.may(class, w.args[i]))
		}
	}
	if !may {
		p.users.log.denied(p.identity, w.cmd.Op, 1)
		p.fail(w, ErrorDenied, errNoPermKey)
	}
	return may
}

// helloOptions are what a HELLO asks for.
type helloOptions struct {
	version int
	name    []byte // nil: none
}

// login has the client be who the words of AUTH say: a token, or a user and a password. With
// hello it is a HELLO that goes on then. It returns false if it has to wait; the connection
// goes on after the command.
func (p *pipeline) login(w *words, proof [][]byte, hello *helloOptions) bool {
	if p.users == nil {
		p.failAlone(w, ErrorDenied, errNoUsers)
		return true
	}
	brought := &access.Proof{}
	if secret := proof[len(proof)-1]; len(proof) == 1 || string(proof[0]) == "default" { // what clients make of a password alone
		brought.Token = append([]byte{}, secret...)
	} else {
		brought.Name, brought.Password = string(proof[0]), append([]byte(nil), proof[1]...)
	}
	waits := &waiting{store: codec.OpAuth, hello: hello}
	login, err, later := p.verify(waits, brought, w.next())
	if later {
		return false
	}
	p.answerLogin(w.f, login, err, hello)
	return true
}

// answerLogin makes the connection a user's, and says so, or why not.
func (p *pipeline) answerLogin(f *respFraming, login *access.Login, err error, hello *helloOptions) {
	p.countReply(codec.OpAuth)
	switch {
	case err == access.ErrBusy || err == access.ErrStopping:
		p.count.Errors[ErrorDenied]++
		p.out = resp.AppendError(p.out, "ERR "+err.Error())
		return
	case err != nil:
		p.count.Errors[ErrorDenied]++
		p.out = resp.AppendError(p.out, errWrongPass)
		return
	}
	p.become(login)
	f.client.setUser(login.User.Name)
	if hello == nil {
		p.out = append(p.out, "+OK\r\n"...)
		return
	}
	p.greet(f, hello)
}

// forgetUser makes the connection nobody's again. It has as long as a new one to say whose it
// is.
func (p *pipeline) forgetUser(f *respFraming) {
	if s := p.identity; s != nil && s.login != nil {
		p.become(nil)
		s.sent, s.until = 0, p.now().Add(unknownTime)
		f.client.setUser("default")
	}
}
