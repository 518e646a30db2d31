package netio

import (
	"bytes"
	"strconv"
	"strings"

	"keyframe/codec"
	"keyframe/codec/resp"
	"keyframe/engine/journal"
)

// This file is the commands of Redis's protocol about the connection and the server.

// respService is what the commands need of the server. It belongs to a loop, except for the
// clients, which all loops share.
type respService struct {
	opts    *Options
	clients *respClients
	stats   func() Stats
	random  func() uint64
}

// serverVersion is the version of Redis whose commands these are: some clients ask.
const serverVersion = "7.0.0"

// performOther is perform for the commands that are not about keys, or about all of them.
func (p *pipeline) performOther(w *words, state any) bool {
	args := w.args
	switch w.cmd.ID {
	case resp.Ping:
		p.cost.spent += costPing
		switch len(args) {
		case 1:
			p.say(w, []byte("+PONG\r\n"))
		case 2:
			p.sayBulk(w, args[1])
		default:
			p.fail(w, ErrorArgumentType, "ERR wrong number of arguments for 'ping' command")
		}
	case resp.Echo:
		p.sayBulk(w, args[1])
	case resp.Select:
		p.selectDB(w)
	case resp.Wait:
		p.wait(w)
	case resp.Config:
		p.config(w)
	case resp.CommandInfo:
		p.cost.spent += costServerInfo
		p.command(w)
	case resp.LastSave:
		st := p.service.stats()
		p.say(w, resp.AppendInt(nil, lastSave(&st)))
	default:
		return p.performAlone(w, state)
	}
	return true
}

// performAlone is perform for what has to see the batch before it executed, or changes how
// answers are written.
func (p *pipeline) performAlone(w *words, state any) bool {
	if !p.flush(w.at, codec.Command{}) {
		return false
	}
	if p.commit != nil && w.cmd.Op != 0 && seesStore(w.cmd.Op.Effect()) {
		defer p.commit.seesAll() // then: it depends on nothing that happens later
	}
	switch w.cmd.ID {
	case resp.Hello:
		return p.hello(w)
	case resp.Auth:
		return p.auth(w)
	case resp.Client:
		p.cost.spent += costServerInfo
		p.clientCommand(w)
	case resp.Quit:
		p.out = append(p.out, "+OK\r\n"...)
		p.countReply(w.cmd.Op)
		p.endWith(errQuit)
	case resp.Reset:
		w.f.version = 2
		w.f.client.setName("")
		p.forgetUser(w.f)
		p.answerAlone(w, resp.AppendSimple(p.out, "RESET"))
	case resp.DBSize:
		p.cost.spent += costCount
		p.answerAlone(w, resp.AppendInt(p.out, int64(p.store.Len())))
	case resp.Info:
		p.cost.spent += costServerInfo
		st := p.service.stats()
		p.answerAlone(w, resp.AppendVerbatim(p.out, p.infoText(&st, w.args[1:]), w.f.version))
	case resp.FlushAll, resp.FlushDB:
		return p.clear(w)
	case resp.Save:
		return p.saveNow(w)
	case resp.BgSave:
		p.saveLater(w)
	case resp.Scan, resp.Keys, resp.RandomKey:
		return p.list(w, state)
	default:
		panic("BUG: netio: nothing executes " + w.cmd.Name)
	}
	return true
}

// answerAlone takes the output with the answer to a command that is alone in its batch.
func (p *pipeline) answerAlone(w *words, out []byte) {
	p.countReply(w.cmd.Op)
	p.out = out
}

// failAlone answers it with an error.
func (p *pipeline) failAlone(w *words, kind ErrorKind, text string) {
	p.countReply(0)
	p.count.Errors[kind]++
	p.out = resp.AppendError(p.out, text)
}

// sayBulk answers with a word of the command.
func (p *pipeline) sayBulk(w *words, word []byte) {
	p.saidSince(w, len(p.said), resp.AppendBulk(p.said, word), 0)
}

func (p *pipeline) selectDB(w *words) {
	switch n, ok := parseWord(w.args[1]); {
	case !ok:
		p.fail(w, ErrorArgumentType, "ERR invalid DB index")
	case n != 0:
		p.fail(w, ErrorArgumentType, "ERR DB index is out of range")
	default:
		p.say(w, []byte("+OK\r\n"))
	}
}

// wait is WAIT: nothing waits for replicas that there aren't.
func (p *pipeline) wait(w *words) {
	_, ok := parseWord(w.args[1])
	if timeout, isTime := parseWord(w.args[2]); !ok || !isTime || timeout < 0 {
		p.fail(w, ErrorArgumentType, errNotInteger)
		return
	}
	p.say(w, []byte(":0\r\n"))
}

// clear is FLUSHALL and FLUSHDB.
func (p *pipeline) clear(w *words) bool {
	if len(w.args) > 2 || len(w.args) == 2 && !resp.Is(w.args[1], "async") && !resp.Is(w.args[1], "sync") {
		p.failAlone(w, ErrorArgumentType, errSyntax)
		return true
	}
	p.cost.spent += costClear
	p.cost.mustLook()
	if p.commit == nil {
		p.store.Clear()
	} else if _, now := p.commit.clear(nil); !now {
		p.submitClear(&waiting{store: codec.OpClear}, w.next())
		return false
	}
	p.answerAlone(w, append(p.out, "+OK\r\n"...))
	return true
}

const errNoDisk = "ERR the store is not on disk: the server has no --data-dir"

// saveNow is SAVE.
func (p *pipeline) saveNow(w *words) bool {
	if p.save == nil {
		p.failAlone(w, ErrorUnavailable, errNoDisk)
		return true
	}
	p.submitSave(codec.Command{Op: codec.OpSave}, w.next())
	return false
}

// saveLater is BGSAVE.
func (p *pipeline) saveLater(w *words) {
	if p.save == nil {
		p.failAlone(w, ErrorUnavailable, errNoDisk)
		return
	}
	p.save(func(codec.Object, error) {})
	p.answerAlone(w, resp.AppendSimple(p.out, "Background saving started"))
}

// answerStored answers what has waited: a clear, a snapshot, or a password.
func (p *pipeline) answerStored(f *respFraming, w *waiting) {
	if w.store == codec.OpAuth {
		p.answerLogin(f, w.login, w.err, w.hello)
		return
	}
	p.countReply(w.store)
	if w.err != nil {
		p.count.Errors[ErrorUnavailable]++
		p.out = resp.AppendError(p.out, "ERR "+w.err.Error())
		return
	}
	p.out = append(p.out, "+OK\r\n"...)
}

// auth is AUTH.
func (p *pipeline) auth(w *words) bool {
	if len(w.args) > 3 {
		p.failAlone(w, ErrorArgumentType, errSyntax)
		return true
	}
	return p.login(w, w.args[1:], nil)
}

// hello is HELLO: the version, who the client is, and what it is called.
func (p *pipeline) hello(w *words) bool {
	args, asked := w.args[1:], &helloOptions{version: w.f.version}
	fail := func(kind ErrorKind, text string) bool {
		p.failAlone(w, kind, text)
		return true
	}
	if len(args) > 0 {
		n, ok := parseWord(args[0])
		switch {
		case !ok:
			return fail(ErrorArgumentType, "ERR Protocol version is not an integer or out of range")
		case n != 2 && n != 3:
			return fail(ErrorArgumentType, "NOPROTO unsupported protocol version")
		}
		asked.version, args = int(n), args[1:]
	}
	var proof [][]byte
	for len(args) > 0 {
		switch {
		case resp.Is(args[0], "auth") && len(args) >= 3:
			proof, args = args[1:3], args[3:]
		case resp.Is(args[0], "setname") && len(args) >= 2:
			if asked.name = bytes.Clone(args[1]); !isClientName(asked.name) {
				return fail(ErrorArgumentType, errClientName)
			}
			args = args[2:]
		default:
			return fail(ErrorArgumentType, "ERR Syntax error in HELLO option '"+string(args[0][:min(len(args[0]), 64)])+"'")
		}
	}
	switch {
	case proof != nil:
		return p.login(w, proof, asked)
	case p.identity.isNobody():
		return fail(ErrorUnauthenticated, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
	}
	p.countReply(w.cmd.Op)
	p.greet(w.f, asked)
	return true
}

// greet answers HELLO.
func (p *pipeline) greet(f *respFraming, asked *helloOptions) {
	f.version = asked.version
	f.client.setVersion(f.version)
	if asked.name != nil {
		f.client.setName(string(asked.name))
	}
	out := resp.AppendMap(p.out, 7, f.version)
	for _, member := range [...][2]string{{"server", "redis"}, {"version", serverVersion}} {
		out = resp.AppendText(resp.AppendText(out, member[0]), member[1])
	}
	out = resp.AppendInt(resp.AppendText(out, "proto"), int64(f.version))
	out = resp.AppendInt(resp.AppendText(out, "id"), f.client.id)
	out = resp.AppendText(resp.AppendText(out, "mode"), "standalone")
	out = resp.AppendText(resp.AppendText(out, "role"), "master")
	p.out = resp.AppendArray(resp.AppendText(out, "modules"), 0)
}

// config is CONFIG GET, of what clients and tools ask for. Nothing can be set.
func (p *pipeline) config(w *words) {
	if !resp.Is(w.args[1], "get") || len(w.args) < 3 {
		if resp.Is(w.args[1], "set") || resp.Is(w.args[1], "rewrite") {
			p.fail(w, ErrorDenied, "ERR CONFIG "+strings.ToUpper(string(w.args[1]))+" is not served: options are given when the server starts")
			return
		}
		p.failSub(w)
		return
	}
	p.cost.spent += costServerInfo
	var found [][2]string
	for _, option := range p.configs() {
		for _, pattern := range w.args[2:] {
			if len(pattern) <= maxPattern && resp.Match([]byte(strings.ToLower(string(pattern))), []byte(option[0])) {
				found = append(found, option)
				break
			}
		}
	}
	said := resp.AppendMap(p.said, len(found), w.f.version)
	for _, option := range found {
		said = resp.AppendText(resp.AppendText(said, option[0]), option[1])
	}
	p.saidSince(w, len(p.said), said, 0)
}

// configs are the options of Redis that have a meaning here.
func (p *pipeline) configs() [][2]string {
	opts, st := p.service.opts, p.service.stats()
	appendOnly, appendFsync := "no", journal.EverySec // as Redis says without, too
	if opts.Journal != nil {
		appendOnly, appendFsync = "yes", opts.Journal.Mode()
	}
	return [][2]string{
		{"appendfsync", appendFsync.String()},
		{"appendonly", appendOnly},
		{"databases", "1"},
		{"maxclients", strconv.Itoa(opts.MaxConns)},
		{"maxmemory-policy", policyOf(&st)},
		{"maxmemory", strconv.Itoa(st.Store.MaxBytes)},
		{"proto-max-bulk-len", strconv.Itoa(opts.MaxFrameBytes)},
		{"save", ""},
		{"timeout", strconv.Itoa(int(opts.IdleTimeout.Seconds()))},
	}
}
