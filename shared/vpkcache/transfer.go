package vpkcache

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"left4me/shared/steam"
)

const (
	// maxConnections is for one item: eight together were twenty times as fast as one from afar (steam.md, Content).
	maxConnections = 8
	// firstSegments is in how many a large file is cut at first. In the second half of the time the first half of the file is
	// hashed; one segment a connection would leave nearly all hashing to the end, more would cost more requests.
	firstSegments = 2 * maxConnections
	// parallelFrom is the length from which more than one connection pays for its start.
	parallelFrom = 8 << 20
	// minSegment is the least that is worth asking for on a connection of its own, and the least that a segment keeps when
	// it is cut. That is more than one write: what a connection is writing always stays its own, so that no byte is written
	// twice, perhaps a second time after it was hashed.
	minSegment = 2 * bufferSize
	bufferSize = 128 << 10
	// recordEvery is how much may arrive between two records: so much is lost at most when the process is killed.
	recordEvery = 1 << 20
)

// serving says whether a server sends ranges when asked for them.
type serving int

const (
	unknown serving = iota
	ranges
	wholeFiles
)

// segment is a stretch of the file that one connection fills from its start: start to next is on the disk, next to end is
// to come.
type segment struct {
	start, next, end int64
	// owned is true while a connection fills the segment.
	owned bool
}

// transfer fills one partial file. Each of its connections takes a segment that nobody fills; when there is none it takes
// the second half of the largest one, so that a slow connection is left with less and less, and one that broke leaves
// its rest to the others. Bytes are hashed from the disk as soon as everything before them is there.
type transfer struct {
	cache    *Cache
	file     File
	out      *os.File
	progress func(int64)

	mu sync.Mutex
	// grown is signalled when bytes have reached the disk and when no more will.
	grown sync.Cond
	// segments cover the file from 0 to its size in order, without gaps.
	segments []*segment
	// done counts the bytes on the disk, and recorded those that the record tells of.
	done, recorded int64
	over           bool
	// sound is true when a connection has ended because there was nothing to take, not because it broke.
	sound bool
	// serves is what the first answer has shown of the server: until then nothing is written.
	serves serving
	// broken is the first connection's failure, which others may make good; fatal is what ends the transfer for all.
	broken, fatal error
	// beyond is a server's answer that the file ends before a byte that was asked for: what is on the disk is no part of it.
	beyond error
	abort  context.CancelFunc
}

// newTransfer goes on from what out holds of f's content, or empties it.
func (c *Cache) newTransfer(f File, p *partial, progress func(int64)) (*transfer, error) {
	t := &transfer{cache: c, file: f, out: p.File, progress: progress}
	t.grown.L = &t.mu
	if t.progress == nil {
		t.progress = func(int64) {}
	}
	done := readRecord(p, c.recordName(f), f.Size)
	if done == nil {
		if err := p.Truncate(0); err != nil {
			return nil, err
		}
	}
	at := int64(0)
	for _, d := range append(done, [2]int64{f.Size, f.Size}) {
		if at < d[0] {
			t.segments = append(t.segments, &segment{start: at, next: at, end: d[0]})
		}
		if d[0] < d[1] {
			t.segments = append(t.segments, &segment{start: d[0], next: d[1], end: d[1]})
		}
		t.done += d[1] - d[0]
		at = d[1]
	}
	t.recorded = t.done
	if t.connections() == 1 {
		return t, nil
	}
	open := 0
	for _, s := range t.segments {
		if s.next < s.end {
			open++
		}
	}
	for open < firstSegments && t.split() != nil {
		open++
	}
	return t, nil
}

// run receives what is missing. When it fails, what has arrived is on the disk and in the record.
func (t *transfer) run(ctx context.Context) error {
	ctx, t.abort = context.WithCancel(ctx)
	defer t.abort()
	t.progress(t.done)

	// The others do not wait for the first answer: nearly all servers serve ranges, and an answer can be far.
	var others sync.WaitGroup
	alone := make(chan struct{})
	for range t.connections() - 1 {
		others.Go(func() {
			select {
			case t.cache.spare <- struct{}{}:
			default:
				select {
				case t.cache.spare <- struct{}{}:
				case <-alone:
					return
				}
			}
			t.connect(ctx)
			<-t.cache.spare
		})
	}
	t.connect(ctx)
	// The first connection ends when there is nothing left to take, or badly: either way nobody needs to wait any longer
	// for a connection to become free.
	close(alone)
	others.Wait()
	if t.sound {
		// What others left when they broke after that is little.
		t.connect(ctx)
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.grown.Broadcast()
	switch {
	case t.fatal != nil:
		return t.fatal
	case t.done == t.file.Size:
		return nil
	case t.beyond != nil:
		return t.beyond
	}
	if err := t.record(); err != nil {
		return err
	}
	return &brokenTransfer{done: t.done, size: t.file.Size, cause: t.broken}
}

// connections is how many may work on the file at once.
func (t *transfer) connections() int {
	if t.file.Size < parallelFrom {
		return 1
	}
	return maxConnections
}

// connect fills segments, one after another, until there is none to take or one breaks.
func (t *transfer) connect(ctx context.Context) {
	var buf []byte
	for {
		s := t.claim()
		if s == nil {
			return
		}
		if buf == nil {
			buf = make([]byte, bufferSize)
		}
		if err := t.receive(ctx, s, buf); err != nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			s.owned = false
			if t.broken == nil {
				t.broken = err
			}
			return
		}
		t.mu.Lock()
		if t.done == t.file.Size {
			// Beside a whole answer there may be requests that nobody needs any more.
			t.abort()
		}
		t.mu.Unlock()
	}
}

// claim takes a segment for the calling connection; nil when there is nothing worth taking.
func (t *transfer) claim() *segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.serves == wholeFiles {
		return nil
	}
	i := slices.IndexFunc(t.segments, func(s *segment) bool { return !s.owned && s.next < s.end })
	var s *segment
	if i >= 0 {
		s = t.segments[i]
	} else if s = t.split(); s == nil {
		t.sound = true
		return nil
	}
	s.owned = true
	return s
}

// split cuts the segment with most to come in two and returns the second half; nil when the halves would be too small.
func (t *transfer) split() *segment {
	at := 0
	for i, s := range t.segments {
		if s.end-s.next > t.segments[at].end-t.segments[at].next {
			at = i
		}
	}
	s := t.segments[at]
	if s.end-s.next < 2*minSegment {
		return nil
	}
	middle := s.next + (s.end-s.next)/2
	half := &segment{start: middle, next: middle, end: s.end}
	s.end = middle
	t.segments = slices.Insert(t.segments, at+1, half)
	return half
}

// receive asks for a segment's bytes and writes them, until the segment is full: others may make it shorter meanwhile.
func (t *transfer) receive(ctx context.Context, s *segment, buf []byte) error {
	t.mu.Lock()
	from, to := s.next, s.end
	t.mu.Unlock()
	if from == 0 && to == t.file.Size {
		// Some servers serve a whole file best when no range is named.
		to = -1
	}
	part, err := t.cache.src.Get(ctx, t.file.URL, from, to)
	if err != nil {
		if status, ok := errors.AsType[*steam.StatusError](err); ok && status.Code == http.StatusRequestedRangeNotSatisfiable {
			t.mu.Lock()
			t.beyond = err
			t.mu.Unlock()
		}
		return err
	}
	defer part.Body.Close()
	switch {
	case part.Total >= 0 && part.Total != t.file.Size:
		return t.fail(&lengthError{got: part.Total, want: t.file.Size})
	case part.Ranged && part.From != from:
		return t.fail(fmt.Errorf("the server sent the file from byte %d when asked for it from %d", part.From, from))
	}
	s, err = t.answered(s, part.Ranged)
	if s == nil || err != nil {
		return err
	}
	if !part.Ranged {
		if _, err := io.CopyN(io.Discard, part.Body, s.next); err != nil {
			return err
		}
	}
	for {
		n, readErr := part.Body.Read(buf)
		surplus, full, err := t.write(s, buf[:n])
		if err != nil {
			return t.fail(err)
		}
		switch {
		case full && !part.Ranged && part.Total < 0:
			// Nobody has said yet that the file ends here.
			if surplus == 0 && readErr == nil {
				surplus, _ = io.ReadAtLeast(part.Body, buf, 1)
			}
			if surplus > 0 {
				return t.fail(&lengthError{got: t.file.Size + int64(surplus), want: t.file.Size})
			}
			return nil
		case full:
			return nil
		case readErr == io.EOF && part.Total < 0:
			return t.fail(&lengthError{got: s.next, want: t.file.Size})
		case readErr == io.EOF:
			return io.ErrUnexpectedEOF
		case readErr != nil:
			return readErr
		}
	}
}

// answered takes note of whether the server sent the range that was asked for, and returns the segment that the answer is to
// fill: s, or of a whole file everything from the first byte that is missing. It returns nil when another connection
// is receiving the whole file already.
func (t *transfer) answered(s *segment, ranged bool) (*segment, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.serves == wholeFiles:
		return nil, nil
	case ranged:
		t.serves = ranges
		return s, nil
	case t.serves == ranges:
		return nil, errors.New("the server sent the whole file when asked for a range of it")
	}
	t.serves = wholeFiles
	first := slices.IndexFunc(t.segments, func(s *segment) bool { return s.next < s.end })
	for _, later := range t.segments[first+1:] {
		t.done -= later.next - later.start
	}
	t.segments = t.segments[:first+1]
	t.segments[first].owned, t.segments[first].end = true, t.file.Size
	return t.segments[first], nil
}

// write puts the next bytes of a segment on the disk. It returns how many were left out because they lie beyond its end,
// and whether it is full.
func (t *transfer) write(s *segment, p []byte) (surplus int, full bool, err error) {
	t.mu.Lock()
	surplus = int(max(0, s.next+int64(len(p))-s.end))
	p = p[:len(p)-surplus]
	t.mu.Unlock()

	if err := t.cache.disk.write(t.out, p, s.next); err != nil {
		return 0, false, err
	}
	due, full, err := t.wrote(s, int64(len(p)))
	if due {
		// Only a hint: what is on its way to the disk early does not keep Sync waiting in the end.
		_ = unix.SyncFileRange(int(t.out.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	return surplus, full, err
}

// wrote takes note of n more bytes of a segment, and reports whether it was time for a record, and whether the segment is
// full.
func (t *transfer) wrote(s *segment, n int64) (due, full bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done += n
	s.next += n
	if due = t.done-t.recorded >= recordEvery && t.done < t.file.Size; due {
		err = t.record()
	}
	t.grown.Broadcast()
	t.progress(t.done)
	return due, s.next == s.end, err
}

// record writes down what has arrived. t.mu is held.
func (t *transfer) record() error {
	r := record{Of: t.cache.recordName(t.file)}
	for _, s := range t.segments {
		if s.start == s.next {
			continue
		}
		if last := len(r.Done) - 1; last >= 0 && r.Done[last][1] == s.start {
			r.Done[last][1] = s.next
		} else {
			r.Done = append(r.Done, [2]int64{s.start, s.next})
		}
	}
	raw, err := r.encode()
	if err != nil {
		return err
	}
	t.recorded = t.done
	return t.cache.disk.write(t.out, raw, recordOffset(t.file.Size))
}

// fail ends the transfer for all connections because of err, and returns it.
func (t *transfer) fail(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fatal == nil {
		t.fatal = err
	}
	t.abort()
	return err
}

// verify hashes the file as it grows and compares its SHA-1 with want; with an empty want there is nothing to do. It ends
// without an error when the transfer is over before the file is complete.
func (t *transfer) verify(ctx context.Context, want string) error {
	if want == "" {
		return nil
	}
	hash := sha1.New()
	buf := make([]byte, bufferSize)
	for at := int64(0); at < t.file.Size; {
		to := t.contiguous(at)
		if to == at {
			return nil
		}
		for at < to {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := t.out.ReadAt(buf[:min(to-at, bufferSize)], at)
			if err != nil {
				return err
			}
			hash.Write(buf[:n])
			at += int64(n)
		}
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		return &sha1Error{got, want}
	}
	return nil
}

// contiguous returns up to where the file is complete, as soon as that is beyond at; at itself when the transfer is over.
func (t *transfer) contiguous(at int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		to := int64(0)
		for _, s := range t.segments {
			to = s.next
			if s.next < s.end {
				break
			}
		}
		if to > at || t.over {
			return max(to, at)
		}
		t.grown.Wait()
	}
}
