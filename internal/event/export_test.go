package event

// What the tests compare: the reader of usual events with that of all others, and
// that of usual times with the one that knows every layout.
var (
	Usual     = usual
	Unusual   = unusual
	ReadTime  = readTime
	ParseTime = parseTime
)
