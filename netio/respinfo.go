package netio

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"keyframe/codec/resp"
	"keyframe/engine"
)

// This file is what clients and tools of Redis are told about the server and its commands:
// INFO and COMMAND.

// infoSections are the sections of INFO, in their order.
var infoSections = []struct {
	name  string
	lines func(p *pipeline, st *Stats) []string
}{
	{"Server", (*pipeline).infoServer},
	{"Clients", (*pipeline).infoClients},
	{"Memory", (*pipeline).infoMemory},
	{"Persistence", (*pipeline).infoPersistence},
	{"Stats", (*pipeline).infoStats},
	{"Replication", func(*pipeline, *Stats) []string {
		return []string{"role:master", "connected_slaves:0", "master_failover_state:no-failover", "master_repl_offset:0"}
	}},
	{"Modules", func(*pipeline, *Stats) []string { return nil }},
	{"Cluster", func(*pipeline, *Stats) []string { return []string{"cluster_enabled:0"} }},
	{"Keyspace", (*pipeline).infoKeyspace},
}

// infoText is INFO's answer, of the sections that are named, or of all.
func (p *pipeline) infoText(st *Stats, sections [][]byte) string {
	wanted := map[string]bool{}
	for _, section := range sections {
		wanted[strings.ToLower(string(section[:min(len(section), 32)]))] = true
	}
	all := len(sections) == 0 || wanted["default"] || wanted["all"] || wanted["everything"]
	var b strings.Builder
	for _, section := range infoSections {
		if !all && !wanted[strings.ToLower(section.name)] {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("# " + section.name + "\r\n")
		for _, line := range section.lines(p, st) {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}

func (p *pipeline) infoServer(st *Stats) []string {
	return []string{
		"redis_version:" + serverVersion,
		"server_name:keyframe",
		"keyframe_version:" + st.Version,
		"redis_mode:standalone",
		"os:" + runtime.GOOS + " " + runtime.GOARCH,
		fmt.Sprintf("arch_bits:%d", 32<<(^uint(0)>>63)),
		"multiplexing_api:" + map[bool]string{true: "epoll", false: "kqueue"}[runtime.GOOS == "linux"],
		"go_version:" + runtime.Version(),
		fmt.Sprintf("process_id:%d", os.Getpid()),
		fmt.Sprintf("server_time_usec:%d", p.now().UnixMicro()),
		fmt.Sprintf("uptime_in_seconds:%d", int64(st.Uptime.Seconds())),
		fmt.Sprintf("uptime_in_days:%d", int64(st.Uptime.Hours()/24)),
		fmt.Sprintf("io_threads_active:%d", len(st.Loops)),
	}
}

func (p *pipeline) infoClients(st *Stats) []string {
	return []string{
		fmt.Sprintf("connected_clients:%d", st.Conns),
		fmt.Sprintf("maxclients:%d", p.service.opts.MaxConns),
		fmt.Sprintf("client_recent_max_input_buffer:%d", st.InputBytes),
		fmt.Sprintf("client_recent_max_output_buffer:%d", st.OutputBytes),
		"blocked_clients:0",
	}
}

func (p *pipeline) infoMemory(st *Stats) []string {
	used := st.Store.ReservedBytes + st.InputBytes + st.OutputBytes + st.RestBytes
	most := st.Store.MaxBytes
	return []string{
		fmt.Sprintf("used_memory:%d", used),
		"used_memory_human:" + human(used),
		fmt.Sprintf("used_memory_dataset:%d", st.Store.LiveBytes),
		fmt.Sprintf("used_memory_overhead:%d", used-st.Store.LiveBytes),
		fmt.Sprintf("maxmemory:%d", most),
		"maxmemory_human:" + human(most),
		"maxmemory_policy:" + policyOf(st),
		"mem_allocator:keyframe",
	}
}

// policyOf is what the store does when it is full, in Redis's words.
func policyOf(st *Stats) string {
	switch st.Store.Evict {
	case engine.EvictAll:
		return "allkeys-lru"
	case engine.EvictVolatile:
		return "volatile-ttl"
	}
	return "noeviction"
}

// human is a number of bytes as Redis writes it for people.
func human(n int) string {
	f, unit := float64(n), 0
	for f >= 1024 && unit < 4 {
		f /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%.2f%c", f, "BKMGT"[unit])
}

func (p *pipeline) infoPersistence(st *Stats) []string {
	lines := []string{"loading:0", fmt.Sprintf("rdb_last_save_time:%d", lastSave(st))}
	j := st.Journal
	if j == nil {
		return append(lines, "rdb_bgsave_in_progress:0", "rdb_last_bgsave_status:ok", "aof_enabled:0")
	}
	running := 0
	if j.Snapshotting {
		running = 1
	}
	status := map[bool]string{false: "ok", true: "err"}
	return append(lines,
		fmt.Sprintf("rdb_bgsave_in_progress:%d", running),
		"rdb_last_bgsave_status:"+status[j.SnapshotFailed],
		"aof_enabled:1",
		"aof_last_write_status:"+status[j.Refusing],
		fmt.Sprintf("aof_current_size:%d", j.SegmentBytes))
}

// lastSave is when the last snapshot was made, in seconds since 1970, or else when the server
// has started.
func lastSave(st *Stats) int64 {
	if st.Journal == nil || st.Journal.LastSnapshot.Ended.IsZero() {
		return st.Started.Unix()
	}
	return st.Journal.LastSnapshot.Ended.Unix()
}

func (p *pipeline) infoStats(st *Stats) []string {
	return []string{
		fmt.Sprintf("total_connections_received:%d", st.ConnsTotal),
		fmt.Sprintf("total_commands_processed:%d", st.Total.Queries),
		fmt.Sprintf("total_net_input_bytes:%d", st.Total.BytesIn),
		fmt.Sprintf("total_net_output_bytes:%d", st.Total.BytesOut),
		fmt.Sprintf("rejected_connections:%d", st.ConnsRefused),
		fmt.Sprintf("expired_keys:%d", st.Store.Expired),
		fmt.Sprintf("evicted_keys:%d", st.Store.Evicted),
	}
}

func (p *pipeline) infoKeyspace(st *Stats) []string {
	if st.Keys == 0 {
		return nil
	}
	return []string{fmt.Sprintf("db0:keys=%d,expires=%d,avg_ttl=0", st.Keys, st.Store.Expiring)}
}

// command is COMMAND.
func (p *pipeline) command(w *words) {
	said, args := p.said, w.args
	sub := ""
	if len(args) > 1 {
		sub = strings.ToLower(string(args[1][:min(len(args[1]), 16)]))
	}
	rows := resp.Commands()
	switch {
	case len(args) == 1, sub == "info" && len(args) == 2:
		said = resp.AppendArray(said, len(rows))
		for i := range rows {
			said = appendCommandInfo(said, &rows[i], w.f.version)
		}
	case sub == "info":
		said = resp.AppendArray(said, len(args)-2)
		for _, name := range args[2:] {
			said = appendCommandInfo(said, resp.Lookup(name), w.f.version)
		}
	case sub == "count" && len(args) == 2:
		said = resp.AppendInt(said, int64(len(rows)))
	case sub == "list" && len(args) == 2:
		said = resp.AppendArray(said, len(rows))
		for i := range rows {
			said = resp.AppendText(said, rows[i].Name)
		}
	case sub == "docs":
		var docs []*resp.Command
		for i := range rows {
			docs = append(docs, &rows[i])
		}
		if len(args) > 2 {
			docs = docs[:0]
			for _, name := range args[2:] {
				if c := resp.Lookup(name); c != nil {
					docs = append(docs, c)
				}
			}
		}
		said = resp.AppendMap(said, len(docs), w.f.version)
		for _, c := range docs {
			said = appendCommandDocs(resp.AppendText(said, c.Name), c, w.f.version)
		}
	case sub == "getkeys" && len(args) > 2:
		p.commandKeys(w, args[2:])
		return
	default:
		p.failSub(w)
		return
	}
	p.cost.bytes(2 * (len(said) - len(p.said)))
	p.cost.mustLook()
	p.saidSince(w, len(p.said), said, 0)
}

// commandKeys is COMMAND GETKEYS.
func (p *pipeline) commandKeys(w *words, args [][]byte) {
	c := resp.Lookup(args[0])
	switch {
	case c == nil:
		p.fail(w, ErrorArgumentType, "ERR Invalid command specified")
	case !c.Takes(len(args)):
		p.fail(w, ErrorArgumentType, "ERR Invalid number of arguments specified for command")
	case c.First == 0:
		p.fail(w, ErrorArgumentType, "ERR The command has no key arguments")
	default:
		var keys [][]byte
		for i := range args {
			if c.IsKey(i, len(args)) {
				keys = append(keys, args[i])
			}
		}
		said := resp.AppendArray(p.said, len(keys))
		for _, key := range keys {
			said = resp.AppendBulk(said, key)
		}
		p.saidSince(w, len(p.said), said, 0)
	}
}

var commandFlags = []struct {
	flag resp.Flags
	name string
}{{resp.Write, "write"}, {resp.ReadOnly, "readonly"}, {resp.DenyOOM, "denyoom"}, {resp.Fast, "fast"}, {resp.NoAuth, "no_auth"}, {resp.Admin, "admin"}}

// appendCommandInfo appends what COMMAND INFO says of a command, null of nil.
func appendCommandInfo(dst []byte, c *resp.Command, version int) []byte {
	if c == nil {
		if version < 3 {
			return append(dst, "*-1\r\n"...)
		}
		return resp.AppendNull(dst, version)
	}
	dst = resp.AppendText(resp.AppendArray(dst, 10), c.Name)
	dst = resp.AppendInt(dst, int64(c.Arity))
	var flags []string
	for _, f := range commandFlags {
		if c.Flags&f.flag != 0 {
			flags = append(flags, f.name)
		}
	}
	dst = resp.AppendArray(dst, len(flags))
	for _, flag := range flags {
		dst = resp.AppendSimple(dst, flag)
	}
	for _, n := range []int{c.First, c.Last, c.Step} {
		dst = resp.AppendInt(dst, int64(n))
	}
	for range 4 { // categories, tips, key specifications, subcommands
		dst = resp.AppendArray(dst, 0)
	}
	return dst
}

// appendCommandDocs appends what COMMAND DOCS says of a command: what redis-cli makes its
// hints of.
func appendCommandDocs(dst []byte, c *resp.Command, version int) []byte {
	args := syntaxOf(c.Syntax)
	members := 3
	if len(args) > 0 {
		members++
	}
	dst = resp.AppendMap(dst, members, version)
	for _, member := range [...][2]string{{"summary", c.Summary}, {"since", "1.0.0"}, {"group", c.Group}} {
		dst = resp.AppendText(resp.AppendText(dst, member[0]), member[1])
	}
	if len(args) == 0 {
		return dst
	}
	dst = resp.AppendArray(resp.AppendText(dst, "arguments"), len(args))
	for _, arg := range args {
		optional := strings.HasPrefix(arg, "[")
		name := strings.TrimSuffix(strings.TrimPrefix(arg, "["), "]")
		n := 2
		if optional {
			n++
		}
		dst = resp.AppendMap(dst, n, version)
		dst = resp.AppendText(resp.AppendText(dst, "name"), name)
		dst = resp.AppendText(resp.AppendText(dst, "type"), "string")
		if optional {
			dst = resp.AppendSimple(resp.AppendArray(resp.AppendText(dst, "flags"), 1), "optional")
		}
	}
	return dst
}

// syntaxOf cuts a syntax into its arguments; what is in brackets is one.
func syntaxOf(syntax string) (args []string) {
	depth, from := 0, 0
	for i, c := range syntax + " " {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ' ' && depth == 0:
			if from < i {
				args = append(args, syntax[from:i])
			}
			from = i + 1
		}
	}
	return args
}
