package netio

import (
	"context"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// eventLoop is what a loop needs of gnet's event loop. It is an interface so that a
// simulation can stand in for gnet and decide what happens next.
type eventLoop interface {
	// execute runs f on the loop, after what it is doing. It may be called from any
	// goroutine.
	execute(f func())
	// close makes gnet forget a connection. It closes the descriptor that it had.
	close(gc gnet.Conn)
	// enroll gives a connection whose socket gnet has forgotten back to the loop.
	// loop.reopen follows on the loop; or failed does, with the reason.
	enroll(c *conn, failed func(error))
}

// gnetLoop is the eventLoop of a server.
type gnetLoop struct {
	el  gnet.EventLoop
	srv *Server
}

func (g *gnetLoop) execute(f func()) {
	_ = g.el.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
		f()
		return nil
	}))
}

func (g *gnetLoop) close(gc gnet.Conn) { _ = g.el.Close(gc) }

func (g *gnetLoop) enroll(c *conn, failed func(error)) {
	nc, err := c.out.sock.conn()
	if err != nil {
		failed(err)
		return
	}
	if nc.RemoteAddr() == nil { // gnet would take an address from it in vain, and panic
		_ = nc.Close()
		failed(unix.ENOTCONN)
		return
	}
	done, err := g.el.Enroll(gnet.NewContext(context.Background(), c), nc)
	if err != nil {
		failed(err)
		return
	}
	// gnet enrolls in steps, the last of which, loop.reopen, is on the loop itself.
	g.srv.background.Go(func() {
		select {
		case r := <-done:
			if r.Err != nil {
				c.loop.execute(func() { failed(r.Err) })
			}
		case <-g.srv.stopped:
		}
	})
}
