package codec

// This file is the part of the grammar that codec/client shares: strings and values
// wherever they stand. Each call is on its own and looks at nothing in front of i.

// ScanString checks the JSON string that begins, with its quote, at b[i]. It returns
// what the string says and the index behind it. What it says aliases b or, if it was
// written with escapes, the scratch, and so is valid until Reset.
func (d *Decoder) ScanString(b []byte, i int) (said []byte, end int, err error) {
	if i >= len(b) || b[i] != '"' {
		return nil, 0, syntaxAt(b, i, "a string")
	}
	d.begin(0, 0, false)
	d.utf8 = utf8Valid // what is scanned is looked at below, and not all of b
	var a Arg
	end, fault := d.escapedKey(b, &a, i+1, d.stop(b, i+1))
	if fault == nil && !ValidUTF8(b[i:end]) {
		_, _, fault = d.carefulString(b, i+1)
	}
	if fault != nil {
		return nil, 0, fault
	}
	return a.Key, end + 1, nil
}

// ScanValue checks the JSON value of any kind at b[i], which is not white space, and
// returns the index behind it.
func (d *Decoder) ScanValue(b []byte, i int) (end int, err error) {
	d.begin(0, 0, false)
	d.utf8 = utf8Valid
	end, _, fault := d.value(b, i)
	if fault == nil && !ValidUTF8(b[i:end]) {
		d.dirty = true
		_, fault = d.careful(b, i)
	}
	if fault != nil {
		return 0, fault
	}
	return end, nil
}

// SkipSpace returns the index of the first byte of b, from i on, that is not white
// space.
func SkipSpace(b []byte, i int) int { return skipSpace(b, i) }

// IsPlain tells whether s stands for itself between the quotes of a JSON string: it
// is ASCII without quotes, backslashes and control characters.
func IsPlain(s []byte) bool {
	end, seen := scan(s, 0)
	return end == len(s) && seen&highBits == 0
}

// AppendString appends UTF-8 text as a JSON string. It does not check that it is
// UTF-8: what is not gives a string that no decoder accepts.
func AppendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	return append(appendEscaped(dst, s), '"')
}
