package netio

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"keyframe/codec/resp"
)

// This file is CLIENT: the connections that speak Redis's protocol, as others of them see
// them.

// respClients are those of a server, by their ids. All methods may be called from any
// goroutine.
type respClients struct {
	sync.Mutex
	last int64
	byID map[int64]*respClient
}

// respClient is one. The id and the addresses stay as they are; mu guards the rest.
type respClient struct {
	id          int64
	addr, local string
	since       time.Time
	kill        func() // ends the connection, from any goroutine

	mu            sync.Mutex
	name, library string
	user          string
	libraryVer    string
	version       int
}

// add takes in a connection.
func (s *respClients) add(c *respClient) {
	s.Lock()
	defer s.Unlock()
	if s.byID == nil {
		s.byID = map[int64]*respClient{}
	}
	s.last++
	c.id, c.version = s.last, 2
	s.byID[c.id] = c
}

func (s *respClients) remove(c *respClient) {
	s.Lock()
	defer s.Unlock()
	delete(s.byID, c.id)
}

// list returns them by their ids.
func (s *respClients) list() []*respClient {
	s.Lock()
	defer s.Unlock()
	all := make([]*respClient, 0, len(s.byID))
	for _, c := range s.byID {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *respClient) int { return int(a.id - b.id) })
	return all
}

// join makes a connection that has begun to speak Redis's protocol known to the others.
func (l *loop) join(c *conn, f *respFraming) {
	client := f.client
	if client.since = l.srv.now(); c.remote != nil {
		client.addr = c.remote.String()
	}
	if c.gc != nil {
		if local := c.gc.LocalAddr(); local != nil {
			client.local = local.String()
		}
	}
	client.user = "default"
	if s := c.identity; s != nil && s.login != nil { // by a certificate
		client.user = s.user()
	}
	client.kill = func() {
		l.execute(func() {
			if c.phase == phaseOpen {
				l.closeNow(c, errKilled)
			}
		})
	}
	l.srv.respClients.add(client)
}

// leave forgets it.
func (l *loop) leave(f *respFraming) { l.srv.respClients.remove(f.client) }

func (c *respClient) setName(name string) {
	c.mu.Lock()
	c.name = name
	c.mu.Unlock()
}

func (c *respClient) setUser(user string) {
	c.mu.Lock()
	c.user = user
	c.mu.Unlock()
}

func (c *respClient) userName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user
}

func (c *respClient) setVersion(version int) {
	c.mu.Lock()
	c.version = version
	c.mu.Unlock()
}

// line is what CLIENT LIST says of it.
func (c *respClient) line(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 user=%s resp=%d lib-name=%s lib-ver=%s",
		c.id, c.addr, c.local, c.name, int(now.Sub(c.since).Seconds()), c.user, c.version, c.library, c.libraryVer)
}

const errClientName = "ERR Client names cannot contain spaces, newlines or special characters."

// maxClientName bounds a name.
const maxClientName = 256

func isClientName(name []byte) bool {
	return len(name) <= maxClientName && !slices.ContainsFunc(name, func(c byte) bool { return c < '!' || c > '~' })
}

// clientCommand is CLIENT.
func (p *pipeline) clientCommand(w *words) {
	me, sub, args := w.f.client, strings.ToLower(string(w.args[1][:min(len(w.args[1]), 32)])), w.args[2:]
	ok := append(p.out, "+OK\r\n"...)
	switch {
	case sub == "id" && len(args) == 0:
		p.answerAlone(w, resp.AppendInt(p.out, me.id))
	case sub == "getname" && len(args) == 0:
		me.mu.Lock()
		name := me.name
		me.mu.Unlock()
		if name == "" {
			p.answerAlone(w, resp.AppendNull(p.out, w.f.version))
			return
		}
		p.answerAlone(w, resp.AppendText(p.out, name))
	case sub == "setname" && len(args) == 1:
		if !isClientName(args[0]) {
			p.failAlone(w, ErrorArgumentType, errClientName)
			return
		}
		me.setName(string(args[0]))
		p.answerAlone(w, ok)
	case sub == "setinfo" && len(args) == 2:
		p.setInfo(w, args)
	case sub == "info" && len(args) == 0:
		p.answerAlone(w, resp.AppendVerbatim(p.out, me.line(p.now())+"\n", w.f.version))
	case sub == "list":
		p.listClients(w, args)
	case sub == "kill" && len(args) > 0:
		p.killClients(w, args)
	case (sub == "no-evict" || sub == "no-touch") && len(args) == 1 && (resp.Is(args[0], "on") || resp.Is(args[0], "off")):
		p.answerAlone(w, ok)
	default:
		p.countReply(0)
		p.count.Errors[ErrorUnknownCommand]++
		p.out = resp.AppendError(p.out, "ERR unknown subcommand or wrong number of arguments for '"+sub+"'. Try CLIENT HELP.")
	}
}

// setInfo is CLIENT SETINFO, of the library that a client is made with.
func (p *pipeline) setInfo(w *words, args [][]byte) {
	me, value := w.f.client, string(args[1])
	if !isClientName(args[1]) {
		p.failAlone(w, ErrorArgumentType, "ERR lib-name and lib-ver cannot contain spaces, newlines or special characters.")
		return
	}
	me.mu.Lock()
	defer me.mu.Unlock()
	switch {
	case resp.Is(args[0], "lib-name"):
		me.library = value
	case resp.Is(args[0], "lib-ver"):
		me.libraryVer = value
	default:
		p.failAlone(w, ErrorArgumentType, "ERR Unrecognized option '"+string(args[0][:min(len(args[0]), 64)])+"'")
		return
	}
	p.answerAlone(w, append(p.out, "+OK\r\n"...))
}

// listClients is CLIENT LIST, with TYPE normal or ID and ids.
func (p *pipeline) listClients(w *words, args [][]byte) {
	all := p.service.clients.list()
	switch {
	case len(args) == 0, len(args) == 2 && resp.Is(args[0], "type") && resp.Is(args[1], "normal"):
	case len(args) == 2 && resp.Is(args[0], "type"):
		all = nil
	case len(args) > 1 && resp.Is(args[0], "id"):
		all = slices.DeleteFunc(all, func(c *respClient) bool {
			return !slices.ContainsFunc(args[1:], func(id []byte) bool { return string(id) == strconv.FormatInt(c.id, 10) })
		})
	default:
		p.failAlone(w, ErrorArgumentType, errSyntax)
		return
	}
	var text strings.Builder
	now := p.now()
	for _, c := range all {
		text.WriteString(c.line(now))
		text.WriteByte('\n')
	}
	p.cost.bytes(2 * text.Len())
	p.cost.mustLook()
	p.answerAlone(w, resp.AppendVerbatim(p.out, text.String(), w.f.version))
}

// killClients is CLIENT KILL: an address, or filters, all of which must be met.
func (p *pipeline) killClients(w *words, args [][]byte) {
	old, skipMe := len(args) == 1, true
	if old {
		args = [][]byte{[]byte("addr"), args[0]}
		skipMe = false
	}
	if len(args)%2 != 0 {
		p.failAlone(w, ErrorArgumentType, errSyntax)
		return
	}
	victims := p.service.clients.list()
	for ; len(args) > 0; args = args[2:] {
		value := string(args[1])
		meets := func(*respClient) bool { return true }
		switch {
		case resp.Is(args[0], "id"):
			meets = func(c *respClient) bool { return strconv.FormatInt(c.id, 10) == value }
		case resp.Is(args[0], "addr"):
			meets = func(c *respClient) bool { return c.addr == value }
		case resp.Is(args[0], "laddr"):
			meets = func(c *respClient) bool { return c.local == value }
		case resp.Is(args[0], "user"):
			meets = func(c *respClient) bool { return c.userName() == value }
		case resp.Is(args[0], "type"):
			meets = func(*respClient) bool { return value == "normal" }
		case resp.Is(args[0], "skipme") && (resp.Is(args[1], "yes") || resp.Is(args[1], "no")):
			skipMe = resp.Is(args[1], "yes")
		default:
			p.failAlone(w, ErrorArgumentType, errSyntax)
			return
		}
		victims = slices.DeleteFunc(victims, func(c *respClient) bool { return !meets(c) })
	}
	killed, suicide := 0, false
	for _, c := range victims {
		switch {
		case c != w.f.client:
			c.kill()
		case skipMe:
			continue
		default:
			suicide = true
		}
		killed++
	}
	switch {
	case old && killed == 0:
		p.failAlone(w, ErrorArgumentType, "ERR No such client")
	case old:
		p.answerAlone(w, append(p.out, "+OK\r\n"...))
	default:
		p.answerAlone(w, resp.AppendInt(p.out, int64(killed)))
	}
	if suicide {
		p.endWith(errKilled)
	}
}
