package netio

import (
	"slices"
	"strconv"

	"keyframe/codec"
	"keyframe/engine/journal"
	"keyframe/netio/access"
)

// This file is the list of what the server counts. /metrics, SERVER_INFO's answer
// and the README's table are made from it, so that a number has one name, one
// meaning and one source in each of them.

// Metric is one number, or one family of numbers, that Stats hold.
type Metric struct {
	// Name is what it is called in /metrics, after "keyframe_"; "" when it is
	// not there.
	Name string
	// Info is its member of SERVER_INFO's answer; "" when it is not there.
	Info string
	Kind MetricKind
	Help string // what it counts, in a sentence or two
	// Label is what the samples of a family differ in: "loop", "command" or "kind". "" when
	// there is one sample.
	Label string

	// Samples calls sample with every sample of a counter or gauge. The label is
	// "" when there is one.
	Samples func(st *Stats, sample func(label string, value float64))
	// Histogram is what a histogram holds.
	Histogram func(st *Stats) Histogram
	// InfoValue is what stands in SERVER_INFO's answer: of a family that is
	// counted by loop, the sum.
	InfoValue func(st *Stats) any
}

// MetricKind is how a metric moves.
type MetricKind uint8

const (
	KindFact      MetricKind = iota // stays as it is; in SERVER_INFO only
	KindCounter                     // only grows
	KindGauge                       // goes up and down
	KindHistogram                   // counts by size
)

// Histogram holds how many values there were, their sum, and how many were up to
// each bound, which includes those up to the bounds below. Without Buckets there is none.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64
}

// Metrics returns all metrics. Those in SERVER_INFO's answer come in its order.
func Metrics() []Metric { return slices.Clone(metrics) }

var metrics = []Metric{
	number("keys", "keyCnt", KindGauge, "Keys in the store.",
		func(st *Stats) int { return st.Keys }),
	number("queries_total", "qryCnt", KindCounter, "Commands received, refused ones included.",
		func(st *Stats) uint64 { return st.Total.Queries }),
	fact("version", "Version of the server.",
		func(st *Stats) string { return st.Version }),
	uptime("uptime_seconds", "uptimeSeconds", "Time since the server was set up, just before it began to serve."),
	fact("loops", "Event loops.",
		func(st *Stats) int { return len(st.Loops) }),
	fact("shards", "Shards of the store, each with a lock of its own.",
		func(st *Stats) int { return st.Store.Shards }),

	number("store_reserved_bytes", "storeBytes", KindGauge, "Memory that the store has taken from the system.",
		func(st *Stats) int { return st.Store.ReservedBytes }),
	number("store_live_bytes", "", KindGauge, "Memory in records.",
		func(st *Stats) int { return st.Store.LiveBytes }),
	number("store_free_bytes", "", KindGauge, "Memory that removed and replaced records have left, to be used again.",
		func(st *Stats) int { return st.Store.FreeBytes }),
	number("store_index_bytes", "", KindGauge, "Memory in the index.",
		func(st *Stats) int { return st.Store.IndexBytes }),
	number("evicted_keys_total", "evicted", KindCounter, "Keys dropped to make room, see --evict.",
		func(st *Stats) int { return st.Store.Evicted }),
	number("input_bytes", "inputBytes", KindGauge, "Memory that connections hold of input: commands of which the end has not come, or whose turn has not.",
		func(st *Stats) int { return st.InputBytes }),
	number("output_bytes", "outputBytes", KindGauge, "Memory that connections hold of answers that clients have not read.",
		func(st *Stats) int { return st.OutputBytes }),
	number("max_buffer_bytes", "maxBufferBytes", KindGauge, "What these two may be together: --max-buffers.",
		func(st *Stats) int { return st.MaxBufferBytes }),
	number("rest_bytes", "restBytes", KindGauge, "Memory that Go's runtime has taken from the system for anything but these two.",
		func(st *Stats) int { return st.RestBytes }),

	byLoop("connections", "connsNow", KindGauge, "Open connections.",
		func(l *LoopStats) int { return l.Conns }),
	number("connections_accepted_total", "connsTotal", KindCounter, "Connections accepted.",
		func(st *Stats) uint64 { return st.ConnsTotal }),
	number("connections_refused_total", "connsRefused", KindCounter, "Connections refused because of --max-conns.",
		func(st *Stats) uint64 { return st.ConnsRefused }),
	number("slow_consumers_total", "slowConsumers", KindCounter, "Connections closed because the client did not read.",
		func(st *Stats) uint64 { return st.SlowConsumers }),
	number("squeezed_total", "squeezed", KindCounter, "Times that a connection was made to wait because all together held too much.",
		func(st *Stats) uint64 { return st.Total.Squeezed }),
	number("cut_off_total", "cutOff", KindCounter, "Connections closed for that. They are in `slow_consumers_total`, too.",
		func(st *Stats) uint64 { return st.Total.CutOff }),
	number("accept_errors_total", "acceptErrors", KindCounter, "Times that accepting a connection failed, for lack of descriptors mostly.",
		func(st *Stats) uint64 { return st.AcceptErrors }),

	family("tls_handshakes_total", "tlsHandshakes", "version", "TLS handshakes that came through, by version.", eachTLSVersion),
	number("tls_resumed_total", "tlsResumed", KindCounter, "Those of them that went on with a session of before.",
		func(st *Stats) uint64 { return st.TLS.Resumed }),
	number("tls_shaking", "tlsShaking", KindGauge, "Connections that have not come through their TLS handshake yet.",
		func(st *Stats) int { return st.TLS.Shaking }),
	family("tls_failures_total", "tlsFailures", "reason", "TLS handshakes that failed and, as `record` and `truncated`, connections that ended with a false record or without close_notify, by reason.", eachTLSFailure),
	{Name: "tls_certificate_end_seconds", Kind: KindGauge, Help: "Until when the certificate is valid, in seconds since 1970.",
		Samples: func(st *Stats, sample func(string, float64)) {
			if !st.TLS.CertificateEnd.IsZero() {
				sample("", float64(st.TLS.CertificateEnd.Unix()))
			}
		}},

	byLoop("frames_total", "frames", KindCounter, "Lines, WebSocket frames, HTTP requests and Redis's commands received.",
		func(l *LoopStats) uint64 { return l.Frames }),
	number("received_bytes_total", "bytesIn", KindCounter, "Bytes received, framing included.",
		func(st *Stats) uint64 { return st.Total.BytesIn }),
	number("sent_bytes_total", "bytesOut", KindCounter, "Bytes sent, framing and what waits for slow clients included.",
		func(st *Stats) uint64 { return st.Total.BytesOut }),

	family("commands_total", "commands", "command", "Commands accepted, by name.", eachCommand),
	family("errors_total", "errors", "kind", "Refused commands and elements, and connections ended for an error, by kind.", eachError),

	{Name: "batch_operations", Kind: KindHistogram, Help: "Operations in a batch: one call of the engine.", Histogram: batchSizes},
	fact("batches", "Batches executed: the count of `batch_operations`.",
		batches),
	fact("batchOps", "Operations in them: the sum of `batch_operations`.",
		func(st *Stats) uint64 { return st.Total.BatchOps }),
	fact("batchSizes", "How many of them had up to 1, 2, 4 … 2,048 operations, each counted once.",
		func(st *Stats) []uint64 { return st.Total.BatchSizes[:] }),
	byLoop("apply_seconds_total", "applySeconds", KindCounter, "Time spent executing batches, estimated from a sample. COUNT and CLEAR are not batches.",
		func(l *LoopStats) float64 { return l.ApplyTime.Seconds() }),

	onDisk("journal_bytes_total", KindCounter, "Bytes of groups that were written to the journal since the start.",
		func(j *journal.Stats) float64 { return float64(j.Bytes) }),
	onDisk("journal_groups_total", KindCounter, "Groups of changes that were written to the journal, each with one write.",
		func(j *journal.Stats) float64 { return float64(j.Groups) }),
	onDisk("journal_errors_total", KindCounter, "Operations on the journal's files that failed.",
		func(j *journal.Stats) float64 { return float64(j.Errors) }),
	{Name: "journal_sync_seconds", Kind: KindHistogram, Help: "How long it took to have the journal's bytes on disk.", Histogram: syncTimes},
	unsyncedAge("journal_unsynced_seconds", "unsyncedMs", "How old the oldest change is, at most, that a power cut would take now; 0: all are on disk."),
	onDisk("journal_file_bytes", KindGauge, "Size of the journal's files, without snapshots.",
		func(j *journal.Stats) float64 { return float64(j.SegmentBytes) }),
	onDisk("journal_since_snapshot_bytes", KindGauge, "Bytes of the journal that the last snapshot does not have.",
		func(j *journal.Stats) float64 { return float64(j.SinceSnapshot) }),
	onDisk("journal_refusing", KindGauge, "1 while writes get status 15, since the disk is full or has failed.",
		func(j *journal.Stats) float64 {
			if j.Refusing {
				return 1
			}
			return 0
		}),
	onDisk("snapshots_total", KindCounter, "Snapshots made since the start.",
		func(j *journal.Stats) float64 { return float64(j.Snapshots) }),
	onDisk("snapshot_end_seconds", KindGauge, "When the last one was made, in seconds since 1970; 0: not since the start.",
		func(j *journal.Stats) float64 {
			if j.LastSnapshot.Ended.IsZero() {
				return 0
			}
			return float64(j.LastSnapshot.Ended.UnixMilli()) / 1000
		}),
	onDisk("snapshot_seconds", KindGauge, "How long the last one took.",
		func(j *journal.Stats) float64 { return j.LastSnapshot.Duration.Seconds() }),
	onDisk("snapshot_bytes", KindGauge, "Size of the last one.",
		func(j *journal.Stats) float64 { return float64(j.LastSnapshot.Bytes) }),
	onDisk("recovery_seconds", KindGauge, "How long it took to read the store at the start.",
		func(j *journal.Stats) float64 { return j.Recovery.Seconds() }),

	ofUsers("users", KindGauge, "Users in the file of --users.",
		func(a *access.Stats) float64 { return float64(a.Users) }),
	countsOfUsers("authentications_total", "method", "Connections that became a user's, by how: password, token or certificate.",
		func(a *access.Stats, sample func(string, float64)) {
			for i, n := range a.Logins {
				sample(access.Method(i).String(), float64(n))
			}
		}),
	countsOfUsers("authentications_refused_total", "reason", "Passwords and tokens that were refused, by reason.",
		func(a *access.Stats, sample func(string, float64)) {
			for i, n := range a.Refused {
				sample(access.Reason(i).String(), float64(n))
			}
		}),
	ofUsers("authentications_waiting", KindGauge, "Passwords and tokens that wait to be looked at.",
		func(a *access.Stats) float64 { return float64(a.Waiting) }),
	ofUsers("password_hashes_total", KindCounter, "Passwords hashed, those for names that nobody has among them.",
		func(a *access.Stats) float64 { return float64(a.Hashes) }),
}

// ofUsers is a number about users, which has no sample where there are none.
func ofUsers(name string, kind MetricKind, help string, value func(*access.Stats) float64) Metric {
	return Metric{
		Name: name, Kind: kind, Help: help,
		Samples: func(st *Stats, sample func(string, float64)) {
			if st.Access != nil {
				sample("", value(st.Access))
			}
		},
	}
}

// countsOfUsers is a family of counters about users.
func countsOfUsers(name, label, help string, each func(st *access.Stats, sample func(string, float64))) Metric {
	return Metric{
		Name: name, Kind: KindCounter, Help: help, Label: label,
		Samples: func(st *Stats, sample func(string, float64)) {
			if st.Access != nil {
				each(st.Access, sample)
			}
		},
	}
}

// infoMembers are the members of SERVER_INFO's answer after its status.
func infoMembers(st *Stats) codec.Object {
	members := make(codec.Object, 0, len(metrics))
	for i := range metrics {
		if m := &metrics[i]; m.Info != "" {
			members = append(members, codec.Member{Name: m.Info, Value: m.InfoValue(st)})
		}
	}
	return members
}

// number is a metric with one sample, which SERVER_INFO has as it is.
func number[N int | uint64](name, info string, kind MetricKind, help string, value func(*Stats) N) Metric {
	return Metric{
		Name: name, Info: info, Kind: kind, Help: help,
		Samples:   func(st *Stats, sample func(string, float64)) { sample("", float64(value(st))) },
		InfoValue: func(st *Stats) any { return value(st) },
	}
}

// fact is what only SERVER_INFO has.
func fact[V any](info, help string, value func(*Stats) V) Metric {
	return Metric{Info: info, Help: help, InfoValue: func(st *Stats) any { return value(st) }}
}

// byLoop is a family with a sample for each event loop.
func byLoop[N int | uint64 | float64](name, info string, kind MetricKind, help string, value func(*LoopStats) N) Metric {
	return Metric{
		Name: name, Info: info, Kind: kind, Help: help, Label: "loop",
		Samples: func(st *Stats, sample func(string, float64)) {
			for i := range st.Loops {
				sample(strconv.Itoa(i), float64(value(&st.Loops[i])))
			}
		},
		InfoValue: func(st *Stats) any { return value(&LoopStats{st.Conns, st.Total}) },
	}
}

// family is a family of counters, an object in SERVER_INFO. each calls its argument
// with every counter's name and count.
func family(name, info, label, help string, each func(*Stats, func(string, uint64))) Metric {
	return Metric{
		Name: name, Info: info, Kind: KindCounter, Help: help, Label: label,
		Samples: func(st *Stats, sample func(string, float64)) {
			each(st, func(name string, n uint64) { sample(name, float64(n)) })
		},
		InfoValue: func(st *Stats) any {
			members := make(codec.Object, 0, 16)
			each(st, func(name string, n uint64) { members = append(members, codec.Member{Name: name, Value: n}) })
			return members
		},
	}
}

// onDisk is a number about the journal, which has no sample without one.
func onDisk(name string, kind MetricKind, help string, value func(*journal.Stats) float64) Metric {
	return Metric{
		Name: name, Kind: kind, Help: help,
		Samples: func(st *Stats, sample func(string, float64)) {
			if st.Journal != nil {
				sample("", value(st.Journal))
			}
		},
	}
}

// unsyncedAge is the age of what is not on disk, of which SERVER_INFO has the milliseconds, 0
// where nothing is to be on disk.
func unsyncedAge(name, info, help string) Metric {
	m := onDisk(name, KindGauge, help, func(j *journal.Stats) float64 { return j.UnsyncedAge.Seconds() })
	m.Info, m.InfoValue = info, func(st *Stats) any {
		if st.Journal == nil {
			return int64(0)
		}
		return st.Journal.UnsyncedAge.Milliseconds()
	}
	return m
}

// syncTimes is the histogram of a journal's syncs.
func syncTimes(st *Stats) Histogram {
	if st.Journal == nil {
		return Histogram{}
	}
	h := Histogram{Sum: st.Journal.SyncTime.Seconds(), Buckets: make(map[float64]uint64)}
	for i, n := range st.Journal.Syncs {
		h.Count += n
		if i < len(st.Journal.Syncs)-1 { // the last has no bound
			h.Buckets[(journal.SyncTimeUnit << i).Seconds()] = h.Count
		}
	}
	return h
}

// uptime is the time since the start, of which SERVER_INFO has the whole seconds.
func uptime(name, info, help string) Metric {
	return Metric{
		Name: name, Info: info, Kind: KindGauge, Help: help,
		Samples:   func(st *Stats, sample func(string, float64)) { sample("", st.Uptime.Seconds()) },
		InfoValue: func(st *Stats) any { return int64(st.Uptime.Seconds()) },
	}
}

func eachCommand(st *Stats, each func(string, uint64)) {
	for op := range codec.Opcodes() {
		each(op.String(), st.Total.Commands[op])
	}
}

func eachError(st *Stats, each func(string, uint64)) {
	for kind, n := range st.Total.Errors {
		each(ErrorKind(kind).String(), n)
	}
}

func eachTLSVersion(st *Stats, each func(string, uint64)) {
	for i, n := range st.TLS.Handshakes {
		each(tlsVersions[i].name, n)
	}
}

func eachTLSFailure(st *Stats, each func(string, uint64)) {
	for reason, n := range st.TLS.Failures {
		each(TLSFailure(reason).String(), n)
	}
}

func batches(st *Stats) (sum uint64) {
	for _, n := range st.Total.BatchSizes {
		sum += n
	}
	return sum
}

// batchSizes makes a histogram of the counts, whose buckets don't include those below.
func batchSizes(st *Stats) Histogram {
	h := Histogram{Count: batches(st), Sum: float64(st.Total.BatchOps), Buckets: make(map[float64]uint64, NumBatchSizes)}
	var below uint64
	for i, n := range st.Total.BatchSizes {
		below += n
		h.Buckets[float64(uint64(1)<<i)] = below
	}
	return h
}
