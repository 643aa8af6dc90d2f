package event

import "strings"

// class is a set of characters.
type class byte

const (
	visible   class = 1 << iota // in ASCII
	printable                   // those, and the space
	typeChar
	digit
	hexDigit
)

// classes holds, for each byte, the sets that it is in.
var classes = newClasses()

func newClasses() (all [256]class) {
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyz"
	members := map[class]string{
		typeChar: digits + letters + strings.ToUpper(letters) + "._-",
		digit:    digits,
		hexDigit: digits + "abcdefABCDEF",
	}
	for c := byte(' '); c <= '~'; c++ {
		all[c] = printable
		if c != ' ' {
			all[c] |= visible
		}
		for set, text := range members {
			if strings.IndexByte(text, c) >= 0 {
				all[c] |= set
			}
		}
	}
	return all
}

func is(c byte, set class) bool { return classes[c]&set != 0 }

// validName reports whether s has 1 to MaxNameBytes bytes, all of the set.
func validName[T string | []byte](s T, allowed class) bool {
	if len(s) == 0 || len(s) > MaxNameBytes {
		return false
	}
	for i := range len(s) {
		if !is(s[i], allowed) {
			return false
		}
	}
	return true
}
