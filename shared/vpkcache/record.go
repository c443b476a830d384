package vpkcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// A partial file ends with a record of what has arrived: JSON, on the page after the content's last one, so that killing
// the process never tears it. It is written after the bytes that it tells of, not synced with them: after a power cut it
// may tell of bytes that were lost. The SHA-1 finds that out, and a record without one does not outlive its process.
type record struct {
	// Of names the content: see recordName.
	Of string `json:"of"`
	// Done are the intervals on the disk, each from and (exclusive) to, ascending, not touching each other.
	Done [][2]int64 `json:"done"`
}

const (
	page = 4096
	// maxIntervals of 42 bytes at most fit the page. What is left out of a record is only downloaded again.
	maxIntervals = 90
)

// recordName is the content's SHA-1 where the URL names it. Elsewhere it is good for this Cache and this very File only.
func (c *Cache) recordName(f File) string {
	if sum := f.sha1(); sum != "" {
		return sum
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %s", c.life, f.Size, f.Updated, f.URL))
	return hex.EncodeToString(sum[:])
}

func recordOffset(size int64) int64 { return (size + page - 1) / page * page }

// encode returns the whole page that belongs at recordOffset, so that nothing remains of a longer record before it.
func (r record) encode() ([]byte, error) {
	r.Done = r.Done[:min(len(r.Done), maxIntervals)]
	raw, err := json.Marshal(r)
	return append(raw, bytes.Repeat([]byte(" "), max(0, page-len(raw)))...), err
}

// readRecord returns the intervals that file holds of the content of that name and size; none when it has no record,
// another content's, or one that makes no sense.
func readRecord(file io.ReaderAt, name string, size int64) [][2]int64 {
	raw, err := io.ReadAll(io.NewSectionReader(file, recordOffset(size), page))
	var r record
	if err != nil || json.Unmarshal(raw, &r) != nil || r.Of != name {
		return nil
	}
	at := int64(-1)
	for _, done := range r.Done {
		if done[0] <= at || done[1] <= done[0] || done[1] > size {
			return nil
		}
		at = done[1]
	}
	return r.Done
}
