// Package access is who may use a server, and for what. It knows neither connections nor
// commands' arguments: a server asks it who a client is, once a connection, and whether a
// user may use a key, for each key.
//
// # Terms
//
//   - A user has a name, proofs that it is him, and rights.
//   - A proof is what a client brings: a name and a password, a token, or a certificate that
//     somebody else has verified.
//   - A token is 32 random bytes that stand for a user, and may have an end. The file has
//     its SHA-256 only: what is random needs no slow hash.
//   - A password is kept as its argon2id, which takes 19 MiB and tens of milliseconds to
//     compute, so that who has the file can't try many.
//   - Rights are prefixes of keys for each class of commands (codec.Class).
//   - A login is a user and the proof by which a connection is his.
//
// # From the file to the key
//
//	file ─► Load: all of it is right, or nothing is used ─► Users, which don't change
//	                                                          │
//	        Gate.Replace: whoever asks from now on ◄──────────┘
//	          │
//	client's proof ─► Gate.Try or Gate.Enter ─► Login ─► Keys.Has, for each key
//
// A reload makes new Users. Logins that were made before are looked up in them once more
// (Users.Renew), which finds out who is no user any longer.
//
// # What failures cost
//
// Passwords are hashed by goroutines, half as many as there are CPUs, and so is a hash
// computed for a name that nobody has: neither the answer nor the work says which names
// there are. Attempts of one source, an address or a network of 64 bits, come one after the
// other, and each waits the longer the more before it have failed. How many wait is bounded,
// in all and for each source. A token that is right waits for nothing.
package access
