package vpkcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// record lists the bytes of a partial file that have arrived. It is JSON in the page after the content's last page: a page is
// written as a whole, so killing the process never leaves half a record. It is written after the bytes, but not synced with them: after a power failure, recorded
// bytes may be lost. The SHA-1 detects that, and a record without a SHA-1 is not used by other processes.
type record struct {
	// Of identifies the content; see recordName.
	Of string `json:"of"`
	// Done are the intervals on the disk, from and to (exclusive), in order and with gaps between them.
	Done [][2]int64 `json:"done"`
}

const (
	page = 4096
	// maxIntervals intervals of at most 42 bytes fit into the page. Bytes that are not recorded are downloaded again.
	maxIntervals = 90
)

// recordName returns the content's SHA-1 if the URL contains it, and otherwise a name for this Cache and this File only.
func (c *Cache) recordName(f File) string {
	if sum := f.sha1(); sum != "" {
		return sum
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %s", c.life, f.Size, f.Updated, f.URL))
	return hex.EncodeToString(sum[:])
}

func recordOffset(size int64) int64 { return (size + page - 1) / page * page }

// encode returns the page to write at recordOffset. It is padded, to overwrite a longer record.
func (r record) encode() ([]byte, error) {
	r.Done = r.Done[:min(len(r.Done), maxIntervals)]
	raw, err := json.Marshal(r)
	return append(raw, bytes.Repeat([]byte(" "), max(0, page-len(raw)))...), err
}

// readRecord returns the intervals that are on the disk of the content with that name and size. It returns none when the record
// is missing, invalid or of another content.
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
