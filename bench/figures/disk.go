package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is the section "disk": what a journal costs, beside none and beside Redis's
// append-only file.

// diskShapes are keys a command, commands in flight, and how long it is measured, in times of
// others: with one key at a time a snapshot comes every 8 s, and one is to be in each run.
var diskShapes = []struct{ keys, depth, times int }{{1, 1, 10}, {1, 64, 4}, {10, 16, 4}, {100, 4, 4}}

// alwaysRate is the commands a second, of one SET each, at which always is compared with what
// the disk takes by itself.
const alwaysRate = 20_000

// disk: SETs with a journal. All servers run at once, and have their files on one disk: so each
// run begins when the one before has rested, for a snapshot that it has left to be made, and
// what it has left to be written is. Every other round goes the other way round.
func disk(ctx context.Context, s *session) error {
	out, err := filepath.Abs(s.out) // not where temporary files are: that may be memory
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(out, "data-*.partial")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.data = dir
	space := min(1_000_000, s.maxKeys)
	servers, err := s.diskServers(ctx, dir)
	defer func() { stopAll(servers) }()
	if err != nil {
		return err
	}
	for _, srv := range servers {
		if err := s.fill(ctx, srv, space); err != nil {
			return err
		}
	}
	rest := func() error {
		time.Sleep(s.time)
		return s.command(ctx, "sync")
	}
	run := func(srv *server, keys, depth, times int, more ...string) error {
		if err := rest(); err != nil {
			return err
		}
		args := append(s.closed(space, keys, depth), "--duration", (time.Duration(times) * s.time).String())
		return s.load(ctx, srv, append(args, more...)...)
	}
	for round := range s.rounds {
		s.note("# round %d", round+1)
		order := turns(servers, round)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, shape := range diskShapes {
			for _, srv := range order {
				if err := run(srv, shape.keys, shape.depth, shape.times); err != nil {
					return err
				}
			}
		}
		if err := rest(); err != nil {
			return err
		}
		if err := s.goBenchmarks(ctx, 0, "-test.bench", "DiskSync", "-test.benchtime", "1000x", "-test.count", "1", "-test.cpu", "1", "-diskdir", dir); err != nil {
			return err
		}
		for _, srv := range servers {
			if strings.HasSuffix(srv.name, "-always") {
				if err := run(srv, 1, 1, 4, "--rate", strconv.Itoa(alwaysRate)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// diskServers starts Keyframe without a journal, and both servers in their two modes that sync.
func (s *session) diskServers(ctx context.Context, dir string) (servers []*server, err error) {
	start := func(srv *server, err error) error {
		if err == nil {
			servers = append(servers, srv)
		}
		return err
	}
	if err := start(s.keyframe(ctx, 0, 1)); err != nil {
		return servers, err
	}
	i := slices.IndexFunc(s.rivals, func(r rival) bool { return r.name == "redis" })
	for _, mode := range []string{"everysec", "always"} {
		if err := start(s.keyframe(ctx, 0, 1, "--data-dir", filepath.Join(dir, "keyframe-"+mode), "--fsync", mode)); err != nil {
			return servers, err
		}
		srv := servers[len(servers)-1]
		srv.name += "-" + mode
		if err := srv.hasLoaded(ctx); err != nil {
			return servers, err
		}
		if i < 0 {
			continue
		}
		files := filepath.Join(dir, "redis-"+mode)
		if err := os.Mkdir(files, 0o755); err != nil {
			return servers, err
		}
		redis := s.rivals[i]
		redis.args = []string{"--port", "{port}", "--save", "", "--appendonly", "yes", "--appendfsync", mode, "--dir", files}
		redis.name += "-" + mode
		if err := start(s.rival(ctx, 0, redis)); err != nil {
			return servers, err
		}
	}
	return servers, nil
}

// hasLoaded returns when a server of ours answers. Before it has read what is on its disk, and made
// its first segment, it turns clients away.
func (srv *server) hasLoaded(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		c, err := net.Dial("tcp", srv.addr)
		if err != nil {
			return err
		}
		answer := ""
		if _, err = io.WriteString(c, `{"GET":["nothing"]}`+"\n"); err == nil {
			answer, err = bufio.NewReader(c).ReadString('\n')
		}
		_ = c.Close() // all of the answer is there
		if strings.Contains(answer, "GET_RSP") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %q, %v", srv.name, answer, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
