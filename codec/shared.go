package codec

// This file is the part of the grammar that codec/client shares: strings and values
// wherever they stand. Each call is on its own and looks at nothing before i.

// ScanString checks the JSON string whose opening quote is at b[i]. It returns the text
// of the string and the index after it. The text aliases b or, if it was written with
// escapes, the scratch; it is valid until Reset.
func (d *Decoder) ScanString(b []byte, i int) (unquoted []byte, end int, err error) {
	if i >= len(b) || b[i] != '"' {
		return nil, 0, syntaxAt(b, i, "a string")
	}
	d.begin(0, 0, false)
	d.utf8 = utf8Valid // what is scanned is checked below, and not all of b
	end, kind, fault := d.scanString(b, i+1)
	if fault == nil && kind&kindSurrogate != 0 {
		if lone := loneSurrogate(b, i+1, end); lone >= 0 {
			fault = loneInKey(lone)
		}
	}
	if fault == nil && !ValidUTF8(b[i:end]) {
		_, _, fault = d.validateStringSlow(b, i+1)
	}
	if fault != nil {
		return nil, 0, fault
	}
	if unquoted = b[i+1 : end : end]; kind&kindEscaped != 0 {
		unquoted = d.unescaped(unquoted)
	}
	return unquoted, end + 1, nil
}

// ScanValue checks the JSON value of any type at b[i], where there must be no white
// space, and returns the index after it.
func (d *Decoder) ScanValue(b []byte, i int) (end int, err error) {
	d.begin(0, 0, false)
	d.utf8 = utf8Valid
	end, _, fault := d.value(b, i)
	if fault == nil && !ValidUTF8(b[i:end]) {
		d.dirty = true
		_, fault = d.validateSlow(b, i)
	}
	if fault != nil {
		return 0, fault
	}
	return end, nil
}

// SkipSpace returns the index of the first byte of b, from i on, that is not white
// space.
func SkipSpace(b []byte, i int) int { return skipSpace(b, i) }

// IsPlain reports whether s is ASCII without quotes, backslashes and control characters:
// it then stands for itself between the quotes of a JSON string.
func IsPlain(s []byte) bool {
	end, seen := scan(s, 0)
	return end == len(s) && seen&highBits == 0
}

// AppendString appends UTF-8 text as a JSON string. It does not check that s is UTF-8:
// if it is not, no decoder accepts the string.
func AppendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	return append(appendEscaped(dst, s), '"')
}
