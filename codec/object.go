package codec

import "strconv"

// Object encodes to a JSON object whose members keep their order, for what a struct
// can't say: an object whose members come from a list.
type Object []Member

// Member is one of an object's. Its value is whatever encodes to JSON, an Object
// among others.
type Member struct {
	Name  string
	Value any
}

// MarshalJSON implements json.Marshaler, so that an Object may be in whatever encodes
// to JSON.
func (o Object) MarshalJSON() ([]byte, error) { return o.append(nil), nil }

func (o Object) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = appendEscaped(dst, []byte(m.Name))
		dst = append(dst, `":`...)
		dst = appendJSON(dst, m.Value)
	}
	return append(dst, '}')
}

// appendJSON appends what marshal returns. Objects hold integers mostly, and for each
// of those marshal takes ten times as long as this.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case Object:
		return v.append(dst)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	default:
		return append(dst, marshal(v)...)
	}
}
