package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"keyframe/netio"
)

// serverCollector makes Prometheus metrics of a server's Stats when it is asked for them,
// so a frame never passes through Prometheus's code. netio.Metrics lists them.
type serverCollector struct {
	srv     interface{ Stats() netio.Stats }
	metrics []serverMetric
}

type serverMetric struct {
	netio.Metric
	desc *prometheus.Desc
}

func newServerCollector(srv interface{ Stats() netio.Stats }) *serverCollector {
	c := &serverCollector{srv: srv}
	for _, m := range netio.Metrics() {
		if m.Name == "" {
			continue
		}
		var labels []string
		if m.Label != "" {
			labels = []string{m.Label}
		}
		c.metrics = append(c.metrics, serverMetric{m, prometheus.NewDesc("keyframe_"+m.Name, m.Help, labels, nil)})
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *serverCollector) Describe(out chan<- *prometheus.Desc) {
	for i := range c.metrics {
		out <- c.metrics[i].desc
	}
}

// Collect implements prometheus.Collector. It may be called from any goroutine.
func (c *serverCollector) Collect(out chan<- prometheus.Metric) {
	st := c.srv.Stats()
	for i := range c.metrics {
		m := &c.metrics[i]
		if m.Kind == netio.KindHistogram {
			h := m.Histogram(&st)
			if h.Buckets == nil {
				continue
			}
			out <- prometheus.MustNewConstHistogram(m.desc, h.Count, h.Sum, h.Buckets)
			continue
		}
		m.Samples(&st, func(label string, value float64) {
			var labels []string
			if m.Label != "" {
				labels = []string{label}
			}
			out <- prometheus.MustNewConstMetric(m.desc, valueTypes[m.Kind], value, labels...)
		})
	}
}

var valueTypes = map[netio.MetricKind]prometheus.ValueType{
	netio.KindCounter: prometheus.CounterValue,
	netio.KindGauge:   prometheus.GaugeValue,
}
