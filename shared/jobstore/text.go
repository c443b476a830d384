package jobstore

// The longest stored texts, in bytes. They contain titles and URLs from Steam, of any length.
const (
	maxLine    = 2000
	maxError   = 2000
	maxCurrent = 300
)
