// Package seal is TLS over bytes: what has come is opened, what is to go is sealed, and
// whoever moves the bytes never waits. It is crypto/tls as it stands, over a net.Conn that
// is memory.
//
// A Conn has two lives. While it shakes hands it is over a real connection, and Handshake
// waits for that, on a goroutine of its own: the asymmetric work takes longer than
// thousands of commands. Then Detach has it forget the connection, and Open and Seal give
// it bytes and take bytes from it.
//
//	Handshake     tls.Conn ─► wire ─► net.Conn             waits
//	Open          sealed ─► wire ─► tls.Conn.Read ─► plain
//	Seal          plain ─► tls.Conn.Write ─► wire ─► sealed
//
// What makes that possible: after the handshake crypto/tls keeps the part of a record that
// it has read, and stays usable, when the connection's Read returns a net.Error that is
// Temporary. TestCuts holds it to that, for records that are cut at every byte.
//
// The server's event loops use it, and the load generator. A Conn is for one goroutine at a
// time.
package seal
