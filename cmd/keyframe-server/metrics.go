package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"keyframe/codec"
	"keyframe/netio"
)

// serverCollector makes Prometheus metrics of a server's Stats, when asked for
// them: nothing of Prometheus is on the way of a frame.
type serverCollector struct {
	srv *netio.Server

	conns, connsTotal, connsRefused, acceptErrors, slowConsumers *prometheus.Desc
	frames, queries, commands, errors, bytesIn, bytesOut         *prometheus.Desc
	batchSize, applyTime                                         *prometheus.Desc
	keys, storeReserved, storeLive, storeFree, storeIndex        *prometheus.Desc
	uptime                                                       *prometheus.Desc
}

func newServerCollector(srv *netio.Server) *serverCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("keyframe_"+name, help, labels, nil)
	}
	return &serverCollector{
		srv:           srv,
		conns:         desc("connections", "Open connections.", "loop"),
		connsTotal:    desc("connections_accepted_total", "Connections accepted."),
		connsRefused:  desc("connections_refused_total", "Connections refused because of --max-conns."),
		acceptErrors:  desc("accept_errors_total", "Times that accepting a connection failed, for lack of descriptors mostly."),
		slowConsumers: desc("slow_consumers_total", "Connections closed because the client did not read."),
		frames:        desc("frames_total", "Lines and WebSocket frames received.", "loop"),
		queries:       desc("queries_total", "Commands received, refused ones included."),
		commands:      desc("commands_total", "Commands accepted, by name.", "command"),
		errors:        desc("errors_total", "Refused commands and elements, and connections ended for an error, by kind.", "kind"),
		bytesIn:       desc("received_bytes_total", "Bytes received, framing included."),
		bytesOut:      desc("sent_bytes_total", "Bytes sent, framing and what waits for slow clients included."),
		batchSize:     desc("batch_operations", "Operations in a batch: one call of the engine."),
		applyTime:     desc("apply_seconds_total", "Time spent executing batches, estimated from a sample. COUNT and CLEAR are not batches.", "loop"),
		keys:          desc("keys", "Keys in the store."),
		storeReserved: desc("store_reserved_bytes", "Memory that the store has taken from the system."),
		storeLive:     desc("store_live_bytes", "Memory in records."),
		storeFree:     desc("store_free_bytes", "Memory that removed and replaced records have left, to be used again."),
		storeIndex:    desc("store_index_bytes", "Memory in the index."),
		uptime:        desc("uptime_seconds", "Time since the server was set up, just before it began to serve."),
	}
}

// Describe implements prometheus.Collector.
func (c *serverCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect implements prometheus.Collector. It may be called from any goroutine.
func (c *serverCollector) Collect(out chan<- prometheus.Metric) {
	st := c.srv.Stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for i := range st.Loops {
		l, loop := &st.Loops[i], strconv.Itoa(i)
		gauge(c.conns, float64(l.Conns), loop)
		counter(c.frames, l.Frames, loop)
		out <- prometheus.MustNewConstMetric(c.applyTime, prometheus.CounterValue, l.ApplyTime.Seconds(), loop)
	}
	counter(c.connsTotal, st.ConnsTotal)
	counter(c.connsRefused, st.ConnsRefused)
	counter(c.acceptErrors, st.AcceptErrors)
	counter(c.slowConsumers, st.SlowConsumers)
	counter(c.queries, st.Total.Queries)
	for op := range codec.Opcodes() {
		counter(c.commands, st.Total.Commands[op], op.String())
	}
	for kind, n := range st.Total.Errors {
		counter(c.errors, n, netio.ErrorKind(kind).String())
	}
	counter(c.bytesIn, st.Total.BytesIn)
	counter(c.bytesOut, st.Total.BytesOut)
	out <- batchSizes(c.batchSize, &st.Total)
	gauge(c.keys, float64(st.Keys))
	gauge(c.storeReserved, float64(st.Store.ReservedBytes))
	gauge(c.storeLive, float64(st.Store.LiveBytes))
	gauge(c.storeFree, float64(st.Store.FreeBytes))
	gauge(c.storeIndex, float64(st.Store.IndexBytes))
	gauge(c.uptime, st.Uptime.Seconds())
}

// batchSizes makes a histogram of the counts, whose buckets are not cumulative.
func batchSizes(d *prometheus.Desc, n *netio.Counters) prometheus.Metric {
	buckets := make(map[float64]uint64, len(n.BatchSizes))
	var batches uint64
	for i, count := range n.BatchSizes {
		batches += count
		buckets[float64(uint64(1)<<i)] = batches
	}
	return prometheus.MustNewConstHistogram(d, batches, float64(n.BatchOps), buckets)
}
