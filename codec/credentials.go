package codec

// This file is what AUTH brings: who a client says that it is, and the proof.

// Credentials are what a command with ShapeCredentials has: a user and a password, or a
// token. They live as long as the payload.
type Credentials struct {
	User     []byte // unescaped
	Password []byte // unescaped; nil: it is a token
	Token    []byte // unescaped
}

// maxCredentialsBytes is the longest argument of AUTH: what a client may send before it is
// known who it is.
const maxCredentialsBytes = 4 << 10

// credentials decodes the argument at i, which is an object and ends where b does. What it
// refuses it does not repeat: it may be a secret.
func (d *Decoder) credentials(b []byte, i int, op Opcode) *Refusal {
	wrong := d.refuseArgument(i, op)
	if len(b)-i > maxCredentialsBytes {
		return wrong
	}
	var c Credentials
	fields := [...]struct {
		name string
		text *[]byte
	}{{"user", &c.User}, {"password", &c.Password}, {"token", &c.Token}}
	for at := i + 1; ; {
		m, ok := memberAt(b, at)
		if !ok {
			break
		}
		at = m.next
		name, known := string(appendText(nil, m.name)), false
		for _, f := range fields {
			if name != f.name || *f.text != nil {
				continue
			}
			*f.text, known = stringOf(b[m.from:m.end])
		}
		if !known {
			return wrong
		}
	}
	if byName := c.User != nil && c.Password != nil; byName == (c.Token != nil) || !byName && (c.User != nil || c.Password != nil) {
		return wrong
	}
	d.has |= hasQuery
	d.extra.Query, d.extra.Credentials = nil, &c
	return nil
}
