package access

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// leastDelay is what an attempt waits after one of its source has failed; it doubles with
	// each further failure up to mostDelay: 17,000 guesses a day.
	leastDelay = 100 * time.Millisecond
	mostDelay  = 5 * time.Second
	// forgetAfter is how long a source must not have failed to begin anew.
	forgetAfter = 10 * time.Minute

	// What may wait: a goroutine each, of a source and in all.
	maxWaitingOfSource = 16
	maxWaiting         = 256
	// maxSources bounds the memory of failures. Past it the oldest are forgotten.
	maxSources = 16_384
)

// Why an attempt is refused, besides what it brings.
var (
	// ErrBusy is one too many at once.
	ErrBusy = errors.New("too many attempts at once: try again later")
	// ErrStopping is an attempt that the server's end has cut short.
	ErrStopping = errors.New("the server is stopping")
)

// Proof is what a client brings: a name and a password, or a token.
type Proof struct {
	Name     string
	Password []byte
	Token    []byte // nil: it is a name and a password
}

// Gate is the door of a server: it holds the users, and lets clients in. Any goroutine may use
// it. mu guards the sources and what they hold; nothing is hashed or awaited while it is held.
type Gate struct {
	users  atomic.Pointer[Users]
	places chan struct{} // one for each password that is being hashed
	now    func() time.Time
	hash   func(h *passwordHash, password []byte) []byte

	logins  [NumMethods]atomic.Uint64
	refused [NumReasons]atomic.Uint64
	hashes  atomic.Uint64

	mu      sync.Mutex
	sources map[string]*source
	waiting int
}

// source is where attempts come from.
type source struct {
	turn     chan struct{} // has one element; who takes it is the one whose attempt it is
	waiting  int
	failures int
	last     time.Time // failure
}

// Reason is why an attempt was refused.
type Reason uint8

// The reasons.
const (
	ReasonWrong Reason = iota
	ReasonExpired
	ReasonBusy
	ReasonStopping

	NumReasons = int(ReasonStopping) + 1
)

func (r Reason) String() string { return [NumReasons]string{"wrong", "expired", "busy", "stopping"}[r] }

func reasonOf(err error) Reason {
	switch err {
	case ErrExpired:
		return ReasonExpired
	case ErrBusy:
		return ReasonBusy
	case ErrStopping:
		return ReasonStopping
	}
	return ReasonWrong
}

// NewGate returns a gate with users.
func NewGate(us *Users) *Gate {
	g := &Gate{
		places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), now: time.Now,
		hash: (*passwordHash).hash, sources: make(map[string]*source),
	}
	g.users.Store(us)
	return g
}

// Users are those that there are now.
func (g *Gate) Users() *Users { return g.users.Load() }

// Replace has other users from now on. Logins made before are to be renewed.
func (g *Gate) Replace(us *Users) { g.users.Store(us) }

// Stats are a gate's numbers.
type Stats struct {
	Users   int
	Logins  [NumMethods]uint64 // by Method
	Refused [NumReasons]uint64 // by Reason
	Hashes  uint64             // of passwords
	Waiting int                // attempts
}

// Stats returns them.
func (g *Gate) Stats() (st Stats) {
	st.Users, st.Hashes = g.Users().Len(), g.hashes.Load()
	for i := range st.Logins {
		st.Logins[i] = g.logins[i].Load()
	}
	for i := range st.Refused {
		st.Refused[i] = g.refused[i].Load()
	}
	g.mu.Lock()
	st.Waiting = g.waiting
	g.mu.Unlock()
	return st
}

// Certificate lets in a client whose verified certificate has these names, nil if none of
// them is a user's.
func (g *Gate) Certificate(names ...string) *Login {
	l := g.Users().ByCertificate(names...)
	if l != nil {
		g.logins[ByCertificate].Add(1)
	}
	return l
}

// Try lets in the holder of a token, at once: nil if the proof is none or is not right. Then
// Enter follows.
func (g *Gate) Try(p *Proof) *Login {
	if p.Token == nil {
		return nil
	}
	l, err := g.Users().ByToken(p.Token, g.now())
	if err != nil {
		return nil
	}
	g.logins[ByToken].Add(1)
	return l
}

// Attempt is one that has been let wait.
type Attempt struct {
	gate *Gate
	from *source
}

// Enter lets an attempt from an address wait for its turn, or returns ErrBusy. Verify follows.
func (g *Gate) Enter(from net.Addr) (*Attempt, error) {
	name := sourceOf(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sources[name]
	if s == nil {
		g.makeRoom()
		s = &source{turn: make(chan struct{}, 1)}
		s.turn <- struct{}{}
		g.sources[name] = s
	}
	if s.waiting >= maxWaitingOfSource || g.waiting >= maxWaiting {
		g.refused[ReasonBusy].Add(1)
		return nil, ErrBusy
	}
	s.waiting++
	g.waiting++
	return &Attempt{g, s}, nil
}

// makeRoom forgets sources when there are too many: those whose time is over, or else any
// that nothing waits for. The caller holds mu.
func (g *Gate) makeRoom() {
	if len(g.sources) < maxSources {
		return
	}
	now := g.now()
	for name, s := range g.sources {
		if s.waiting == 0 && now.Sub(s.last) >= forgetAfter {
			delete(g.sources, name)
		}
	}
	for name, s := range g.sources {
		if len(g.sources) < maxSources {
			return
		}
		if s.waiting == 0 {
			delete(g.sources, name)
		}
	}
}

// Verify waits for the attempt's turn, and returns whose proof it is, or why it is refused.
// It takes as long as that takes, or until ctx is done, so it is called on a goroutine of its
// own. It is called once.
func (a *Attempt) Verify(ctx context.Context, p *Proof) (*Login, error) {
	l, err := a.verify(ctx, p)
	g := a.gate
	g.mu.Lock()
	a.from.waiting--
	g.waiting--
	if err != nil && err != ErrStopping {
		a.from.failures++
		a.from.last = g.now()
	}
	g.mu.Unlock()
	if err != nil {
		g.refused[reasonOf(err)].Add(1)
		return nil, err
	}
	g.logins[l.Method].Add(1)
	return l, nil
}

func (a *Attempt) verify(ctx context.Context, p *Proof) (*Login, error) {
	g, s := a.gate, a.from
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ErrStopping
	}
	g.mu.Lock()
	wait := s.delay(g.now())
	g.mu.Unlock()
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ErrStopping
		}
	}
	if p.Token != nil {
		return g.Users().ByToken(p.Token, g.now())
	}
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	case <-ctx.Done():
		return nil, ErrStopping
	}
	return g.byPassword(p)
}

// byPassword does the same work whether there is such a user or not.
func (g *Gate) byPassword(p *Proof) (*Login, error) {
	us := g.Users()
	u := us.byName[p.Name]
	h := &us.dummy
	if u != nil && u.password != nil {
		h = u.password
	}
	g.hashes.Add(1)
	password := p.Password
	if len(password) > MaxPasswordBytes { // it is nobody's
		password = password[:MaxPasswordBytes]
	}
	given := *h
	given.sum = g.hash(h, password)
	if right := given.equal(h); !right || h == &us.dummy || len(p.Password) > MaxPasswordBytes {
		return nil, ErrWrong
	}
	return &Login{User: u, Method: ByPassword, password: *h}, nil
}

// delay is how long an attempt has to wait, since others have failed.
func (s *source) delay(now time.Time) time.Duration {
	if now.Sub(s.last) >= forgetAfter {
		s.failures = 0
	}
	if s.failures == 0 {
		return 0
	}
	d := mostDelay
	if n := s.failures - 1; n < 10 {
		d = min(leastDelay<<n, mostDelay)
	}
	return s.last.Add(d).Sub(now)
}

// sourceOf is where an attempt comes from: an address of IPv4, the network of one of IPv6, of
// which whoever has one has 2⁶⁴ addresses, or the machine itself.
func sourceOf(from net.Addr) string {
	tcp, ok := from.(*net.TCPAddr)
	if !ok {
		return "unix"
	}
	if ip := tcp.IP.To4(); ip != nil {
		return string(ip)
	}
	return string(tcp.IP[:min(8, len(tcp.IP))])
}
