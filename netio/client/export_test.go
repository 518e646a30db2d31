package client

import (
	"fmt"
	"time"
)

// Waits for a state that no event tells a test of. They poll, as there is nothing else to wait
// for, and prove nothing about time. One that is soon over may be missed: the test has to see to it
// that it lasts.
func poll(c *Client, is func() bool) {
	for {
		c.mu.Lock()
		ok := is()
		c.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(50 * time.Microsecond)
	}
}

func WaitBlocked(c *Client, n int) { poll(c, func() bool { return len(c.mu.blocked) == n }) }

func WaitUnsent(c *Client, n int) { poll(c, func() bool { return len(c.mu.unsent) == n }) }

func WaitDown(c *Client) { poll(c, func() bool { return c.mu.conn == nil }) }

func WaitRefused(c *Client) { poll(c, func() bool { return c.mu.refuse != nil }) }

// Weight is an error if an idle client thinks that something is on its way.
func Weight(c *Client) error {
	// The reader takes a call off its books just after it has delivered the answer.
	poll(c, func() bool { return c.mu.weight <= 0 && c.mu.owed <= 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.weight != 0 || c.mu.owed != 0 || len(c.mu.unsent)+len(c.mu.blocked)+len(c.mu.pending) != 0 {
		return fmt.Errorf("weight %d, owed %d, %d unsent, %d blocked, %d bytes", c.mu.weight, c.mu.owed, len(c.mu.unsent), len(c.mu.blocked), len(c.mu.pending))
	}
	return nil
}
