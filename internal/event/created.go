package event

import "time"

// readTime reads a time in the platform's layout or in that of RFC 3339. Where it
// is not sure ok is false, which says nothing: parseTime has to look.
func readTime(text []byte) (at time.Time, ok bool) {
	const form = "0000-00-00T00:00:00"
	if len(text) <= len(form) || !isForm(text[:len(form)], form) {
		return at, false
	}
	year, month, day := decimal(text[:4]), decimal(text[5:7]), decimal(text[8:10])
	hour, minute, second := decimal(text[11:13]), decimal(text[14:16]), decimal(text[17:19])
	if hour > 23 || minute > 59 || second > 59 {
		return at, false
	}
	nanos, rest := readFraction(text[len(form):])
	zone, offset, ok := readZone(rest)
	if !ok {
		return at, false
	}
	local := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if local.Day() != day || int(local.Month()) != month { // there is no such day
		return at, false
	}
	return local.Add(-offset).In(zone), true
}

// isForm reports whether text has digits where form has zeros, and is form elsewhere.
func isForm(text []byte, form string) bool {
	if len(text) != len(form) {
		return false
	}
	for i, c := range text {
		if form[i] == '0' && !is(c, digit) || form[i] != '0' && form[i] != c {
			return false
		}
	}
	return true
}

func decimal(digits []byte) (n int) {
	for _, c := range digits {
		n = 10*n + int(c-'0')
	}
	return n
}

// readFraction reads the nanoseconds of a fraction of up to nine digits. What it
// cannot read it leaves in rest.
func readFraction(text []byte) (nanos int, rest []byte) {
	if text[0] != '.' {
		return 0, text
	}
	end := 1
	for end < len(text) && end <= 9 && is(text[end], digit) {
		end++
	}
	if end == 1 {
		return 0, text
	}
	nanos = decimal(text[1:end])
	for i := end; i <= 9; i++ {
		nanos *= 10
	}
	return nanos, text[end:]
}

// readZone reads Z, an offset with a colon, or one without.
func readZone(text []byte) (zone *time.Location, offset time.Duration, ok bool) {
	if len(text) == 1 && text[0] == 'Z' {
		return time.UTC, 0, true
	}
	if len(text) == 0 || text[0] != '+' && text[0] != '-' {
		return nil, 0, false
	}
	text, negative := text[1:], text[0] == '-'
	if !isForm(text, "0000") && !isForm(text, "00:00") {
		return nil, 0, false
	}
	hours, minutes := decimal(text[:2]), decimal(text[len(text)-2:])
	if hours > 23 || minutes > 59 {
		return nil, 0, false
	}
	seconds := 3600*hours + 60*minutes
	if negative {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), time.Duration(seconds) * time.Second, true
}
