package netio_test

import (
	"bufio"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"keyframe/netio"
)

// TestSetOptions: the options that a running server can change are changed, for it and for its
// loops, one as well as the other, and no others; what is 0 gets its default; and with a fault
// nothing is changed.
func TestSetOptions(t *testing.T) {
	begun := netio.Options{
		MaxConns: 100, MaxOutputBytes: 1 << 20, AllowOrigins: []string{"https://a.example"},
		IdleTimeout: time.Hour, PingInterval: time.Minute, HandshakeTimeout: time.Second, OutputTimeout: time.Minute,
	}
	s := startServer(t, begun)
	next := begun
	next.MaxConns = 99
	if err := s.SetOptions(next); err != nil { // before there is a loop
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("{\"PING\":{}}\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	want := s.LiveOptions()[0]
	check := func() {
		t.Helper()
		all := s.LiveOptions()
		if len(all) < 3 {
			t.Fatal("no loop has a connection")
		}
		for i, got := range all {
			for _, o := range []*netio.Options{&got, &want} {
				o.Logger = nil // it has functions, which can't be compared
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%d of %d: %+v, want %+v", i, len(all), got, want)
			}
		}
	}
	check()
	set := func(change func(o *netio.Options)) {
		t.Helper()
		change(&next)
		change(&want)
		if err := s.SetOptions(next); err != nil {
			t.Fatal(err)
		}
		check()
	}
	set(func(o *netio.Options) { o.MaxConns = 7 })
	set(func(o *netio.Options) { o.MaxOutputBytes = 2 << 20 })
	set(func(o *netio.Options) { o.AllowOrigins = []string{"https://b.example", "*"} })
	set(func(o *netio.Options) { o.IdleTimeout++ })
	set(func(o *netio.Options) { o.PingInterval++ })
	set(func(o *netio.Options) { o.HandshakeTimeout++ })
	set(func(o *netio.Options) { o.OutputTimeout++ })

	faulty := next
	faulty.AllowOrigins = slices.Clone(next.AllowOrigins)
	faulty.MaxConns, faulty.PingInterval = 8, -1
	if err := s.SetOptions(faulty); err == nil {
		t.Error("an interval of less than nothing is taken")
	}
	check()

	next.MaxConns, next.OutputTimeout = 0, 0
	next.MaxFrameBytes, next.StopTimeout = 4096, time.Hour // which are not looked at
	want.MaxConns, want.OutputTimeout = netio.DefaultMaxConns, netio.DefaultOutputTimeout
	if err := s.SetOptions(next); err != nil {
		t.Fatal(err)
	}
	check()
}
