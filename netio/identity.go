package netio

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"keyframe/codec"
	"keyframe/netio/access"
	"keyframe/netio/frame"
)

// This file is who a connection is, on a server with users, and what that lets it do. Any
// framing's commands come by here: nobody's in mayBeNobody and refuses, a user's keys in deny
// (or may), and commands about the whole store in denies. A command of one key takes some 200 ns
// of a turn, so a turn finds out once who its user is: pipeline.user.

const (
	// maxUnknownBytes is what nobody may send, and unknownTime how long a connection may be
	// nobody's. An upgrade request has a bound of its own.
	maxUnknownBytes = 4 << 10
	unknownTime     = 5 * time.Second
)

// sDenied is the number of a SERVER_ERROR to a client that may not do this.
const sDenied = int(codec.StatusDenied)

func newDeniedEnd(reason string) *toldEnd {
	return &toldEnd{frame.CloseError{Code: frame.ClosePolicy, Reason: reason}, sDenied}
}

var (
	errUnknownBytes = newDeniedEnd("who you are has not been said in the first 4 KiB")
	errUnknownTime  = newDeniedEnd("who you are has not been said in 5s")
	errRevoked      = newDeniedEnd("your user, password or token is not valid any more")
)

// identity is who a connection is. It belongs to the connection's loop.
type identity struct {
	login  *access.Login // nil: nobody
	remote net.Addr
	until  time.Time // when it has been nobody for too long
	sent   int       // by nobody
}

// newIdentity is that of a new connection: nobody, unless it has shown a certificate.
func (l *loop) newIdentity(c *conn, now time.Time) *identity {
	who := &identity{remote: c.remote, until: now.Add(unknownTime)}
	if name := c.peer(); name != "" {
		who.login = l.srv.gate.Certificate(name)
	}
	return who
}

// Admin returns the name in the verified certificate that a client has shown to whoever serves a
// listener of Secure, and whether that is a user's who may send the commands of admins. Without
// Options.Users everybody may.
func (s *Server) Admin(state *tls.ConnectionState) (name string, is bool) {
	name = peerOf(state.VerifiedChains)
	if s.gate == nil {
		return name, true
	}
	login := s.gate.Users().ByCertificate(name)
	return name, login != nil && login.User.Admin()
}

func (s *identity) isNobody() bool { return s != nil && s.login == nil }

// user is the name of the user, "" of nobody.
func (s *identity) user() string {
	if s.login == nil {
		return ""
	}
	return s.login.User.Name
}

// refuses returns why a command is not executed: nobody has sent it, and it is not one of
// those that anybody may send.
func (s *identity) refuses(cmd codec.Command) error {
	if !s.isNobody() || cmd.Op.Class() == 0 {
		return nil
	}
	r := &codec.Refusal{Code: codec.RefusedDenied, Text: "say who you are before: AUTH"}
	if cmd.Extra != nil {
		r.ID = string(cmd.Extra.ID)
	}
	return r
}

// door is what a pipeline needs of the server's users.
type door struct {
	gate     *access.Gate
	log      *securityLog
	spawn    func(func())
	stopping context.Context
}

// mayBeNobody counts what nobody sends. It returns false if that was too much; the connection
// has then been told. err is what the framing's next has returned.
func (p *pipeline) mayBeNobody(src []byte, at, size int, err error) bool {
	s := p.identity
	if !s.isNobody() || !p.framing.settled() {
		return true
	}
	if err == frame.ErrIncomplete {
		size = len(src) - at // it is counted when it is whole
	} else if s.sent += size; err != nil {
		return true // it ends anyhow
	}
	if s.sent <= maxUnknownBytes && (err == nil || s.sent+size <= maxUnknownBytes) {
		return true
	}
	p.flush(at, codec.Command{}) // refusals only
	p.count.Errors[ErrorUnauthenticated]++
	p.users.log.refused(s, "", errUnknownBytes.Reason)
	p.endWith(errUnknownBytes)
	return false
}

// become makes the connection a user's, in the middle of its turn, or nobody's.
func (p *pipeline) become(login *access.Login) {
	p.identity.login = login
	p.knowUser()
}

// knowUser has the turn know who its user is.
func (p *pipeline) knowUser() {
	p.user = nil
	if s := p.identity; s != nil && s.login != nil {
		p.user = s.login.User
	}
	p.exceptions = p.refusing != codec.StatusOK || p.identity.isNobody()
}

// may reports whether the user may use a key with commands of a class.
func (p *pipeline) may(class codec.Class, key []byte) bool {
	return p.user.Keys(class).Has(key)
}

// deny gives the elements whose keys the user may not use the status for that.
func (p *pipeline) deny(op codec.Opcode, args []codec.Arg) {
	keys := p.user.Keys(op.Class())
	renames := op.Effect() == codec.EffectRename
	denied := 0
	for i := range args {
		arg := &args[i]
		if arg.Status == codec.StatusOK && !(keys.Has(arg.Key) && (!renames || keys.Has(arg.Value))) {
			arg.Status = codec.StatusDenied
			denied++
		}
	}
	if denied > 0 {
		p.users.log.denied(p.identity, op, denied)
	}
}

// denies returns why the user may not send a command without elements, or CLEAR_SET, "" if he
// may. What only an admin may send is put on record.
func (p *pipeline) denies(cmd codec.Command) (why string) {
	class := cmd.Op.Class()
	if class == 0 {
		return ""
	}
	user := p.user
	byAdmin := class&codec.ClassAdmin != 0
	if class&codec.ClassScan != 0 {
		var prefix []byte
		values := class&codec.ClassRead != 0
		if cmd.Extra != nil && cmd.Extra.Query != nil {
			prefix = cmd.Extra.Query.Prefix
			values = values || cmd.Extra.Query.Values
		}
		if values && !user.Keys(codec.ClassRead).Has(prefix) {
			why = "you may not read the values of all keys with this prefix"
		}
		byAdmin = !user.MayScan(prefix)
	}
	if why == "" && byAdmin && !user.Admin() {
		why = "only an admin may do this"
		if class&codec.ClassScan != 0 {
			why = "you may not list the keys with this prefix"
		}
	}
	goesOn := p.resume.Extra != nil // a scan that has begun in another turn
	switch {
	case why != "":
		p.users.log.refused(p.identity, cmd.Op.String(), why)
	case byAdmin && !goesOn:
		p.users.log.audit(p.identity, cmd.Op.String())
	}
	return why
}

// authenticate answers AUTH. It returns false if it has to wait; the connection then goes on
// at next.
func (p *pipeline) authenticate(cmd codec.Command, next int) bool {
	c := cmd.Extra.Credentials
	proof := &access.Proof{Name: string(c.User), Password: append([]byte(nil), c.Password...)}
	if c.Token != nil {
		proof.Token = append([]byte{}, c.Token...)
	}
	w := &waiting{isJoined: p.isJoined, store: cmd.Op, extra: cmd.Extra.Clone()}
	if login, err, waits := p.verify(w, proof, next); !waits {
		p.countStoreCommand(cmd.Op)
		p.answerAuth(cmd.Op, cmd.Extra, login, err)
		return true
	}
	return false
}

// verify finds out whose proof it is. What takes its time is done elsewhere: then it reports
// waits, w has the outcome when it is applied, and the connection goes on at next.
func (p *pipeline) verify(w *waiting, proof *access.Proof, next int) (login *access.Login, err error, waits bool) {
	d := p.users
	if login = d.gate.Try(proof); login != nil {
		return login, nil, false
	}
	attempt, err := d.gate.Enter(p.identity.remote)
	if err != nil {
		d.log.failed(p.identity, d.gate, proof, err)
		return nil, err, false
	}
	p.waitFor(w, next, codec.Command{})
	s := p.identity
	d.spawn(func() {
		login, err := attempt.Verify(d.stopping, proof)
		p.execute(func() {
			if err != nil {
				d.log.failed(s, d.gate, proof, err)
			} else if login = d.gate.Users().Renew(login, p.now()); login == nil { // it was removed meanwhile
				err = access.ErrWrong
			}
			w.applied, w.login, w.err = true, login, err
			w.goOn()
		})
	})
	return nil, nil, true
}

// answerAuth makes the connection a user's, and says so, or why not.
func (p *pipeline) answerAuth(op codec.Opcode, extra *codec.Extra, login *access.Login, err error) {
	if err != nil {
		p.count.Errors[ErrorDenied]++
		p.answerText(codec.AppendFailure(p.text[:0], op, codec.StatusDenied, err.Error()), extra)
		return
	}
	p.become(login)
	p.answerText(codec.AppendMembers(p.text[:0], op, codec.Object{}), extra)
}

// prove serves an upgrade, or a request of HTTP, that has a proof. It reports whether it waits.
func (p *pipeline) prove(u unit, next int) bool {
	w := &waiting{proof: &u}
	login, err, waits := p.verify(w, u.proof, next)
	if !waits {
		p.proved(u, login, err)
	}
	return waits
}

// proved goes on with an upgrade or a request, or refuses it.
func (p *pipeline) proved(u unit, login *access.Login, err error) {
	if err != nil {
		status := http.StatusUnauthorized
		if errors.Is(err, access.ErrBusy) {
			status = http.StatusTooManyRequests
		}
		if h, ok := u.becomes.(*httpFraming); ok {
			p.refuseUser(h, &h.unproved, status, err.Error())
			return
		}
		p.endWith(&upgradeError{err, httpError(status, err.Error())})
		return
	}
	p.become(login)
	p.out = append(p.out, u.answer...)
	p.framing = u.becomes
}

// endUnidentified ends a connection that has been nobody's for too long, or whose token's time is
// over, and reports whether it does.
func (l *loop) endUnidentified(c *conn, now time.Time) bool {
	s := c.identity
	switch {
	case s.login != nil && !s.login.Expires.IsZero() && !now.Before(s.login.Expires):
		l.revoke(c)
	case s.login == nil && now.After(s.until) && c.commit.waits == nil:
		l.count.Errors[ErrorUnauthenticated]++
		l.srv.security.refused(s, "", errUnknownTime.Reason)
		l.endDenied(c, errUnknownTime)
	default:
		return false
	}
	return true
}

// endUnknown ends a connection whose first bytes are of no framing, and too many.
func (l *loop) endUnknown(c *conn) {
	l.count.Errors[ErrorUnauthenticated]++
	l.srv.security.refused(c.identity, "", errUnknownBytes.Reason)
	l.pipe.out = (&lineFraming{}).appendEnd(l.pipe.out, errUnknownBytes)
	l.linger(c)
}

// renewLogins looks the loop's users up once more, since there are other ones.
func (l *loop) renewLogins() {
	users, now := l.srv.gate.Users(), l.srv.now()
	for i := len(l.conns) - 1; i >= 0; i-- { // backwards: drop moves the last one into the gap
		if i >= len(l.conns) {
			continue
		}
		c := l.conns[i]
		if c.phase != phaseOpen || c.identity.login == nil {
			continue
		}
		if login := users.Renew(c.identity.login, now); login != nil {
			c.identity.login = login
		} else {
			l.revoke(c)
		}
	}
}

// revoke ends a connection whose user is none any more.
func (l *loop) revoke(c *conn) {
	l.count.Errors[ErrorRevoked]++
	l.srv.security.refused(c.identity, "", errRevoked.Reason)
	l.endDenied(c, errRevoked)
}

// endDenied ends a connection whose client has no more than lingerTimeout to take the rest.
func (l *loop) endDenied(c *conn, why *toldEnd) {
	l.closeNow(c, why)
	if c.phase == phaseLinger && c.deadline.IsZero() {
		c.deadline = l.srv.now().Add(lingerTimeout)
	}
}
