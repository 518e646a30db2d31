package codec

// For tests of the scanning twins.
var (
	ScanForTesting         = scan
	ScanBytesForTesting    = scanBytes
	FewerCharsForTesting   = fewerChars
	UnescapeForTesting     = unescape
	UnquoteShortForTesting = unquoteShort
	UnquoteLongForTesting  = unquoteLong
	LoneSurrogateTesting   = loneSurrogate
	ValidGrammarForTesting = validGrammar
)

const HighBitsForTesting = highBits

// StringsForTesting checks the string whose first byte is at i on its usual way
// and byte by byte.
func StringsForTesting(d *Decoder, b []byte, i int) (end, carefulEnd int, escaped, carefulEscaped bool, err, carefulErr *SyntaxError) {
	d.begin(0, 0, false)
	end, how, err := d.scanString(b, i)
	carefulEnd, carefulHow, carefulErr := d.carefulString(b, i)
	return end, carefulEnd, how&^textUnicode != 0, carefulHow&^textUnicode != 0, err, carefulErr
}

// NestedForTesting checks the object or array at b[i] on its usual way, with sonic,
// and carefully, without.
func NestedForTesting(d *Decoder, b []byte, i int) (end, carefulEnd int, err, carefulErr *SyntaxError) {
	d.begin(0, 0, false)
	end, err = d.nested(b, i)
	carefulEnd, carefulErr = d.careful(b, i)
	return end, carefulEnd, err, carefulErr
}

func ScratchForTesting(d *Decoder) int { return cap(d.scratch) }
