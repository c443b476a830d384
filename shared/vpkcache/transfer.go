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
	// maxConnections is the maximum for one item. Eight were twenty times as fast as one from far away (steam.md, Content).
	maxConnections = 8
	// firstSegments is the initial number of segments of a large file. With two for each connection, the first half of the file
	// is hashed while the second half is received. With one, nearly all hashing would happen at the end; more segments would
	// cost more requests.
	firstSegments = 2 * maxConnections
	// parallelFrom is the file size from which several connections are faster than one.
	parallelFrom = 8 << 20
	// minSegment is the minimum size of both halves when a segment is split. It is more than one write, so that the bytes that a
	// connection is writing stay in its segment, and no byte is written again after it was hashed.
	minSegment = 2 * bufferSize
	bufferSize = 128 << 10
	// recordEvery is the number of bytes between two records, and so the most that is lost when the process is killed.
	recordEvery = 1 << 20
)

// serving is whether a server sends ranges on request.
type serving int

const (
	unknown serving = iota
	ranges
	wholeFiles
)

// segment is a part of the file that one connection fills from its start: the bytes from start to next are on the disk, those
// from next to end are missing.
type segment struct {
	start, next, end int64
	// owned is true while a connection fills the segment.
	owned bool
}

// transfer fills one partial file over several connections. Each connection claims a segment that no other one fills. When
// there is none, it claims the second half of the largest one, so that a slow connection keeps less and less, and other
// connections take over the rest of a broken one. Bytes are read from the disk and hashed as soon as all bytes before them
// have arrived.
type transfer struct {
	cache    *Cache
	file     File
	out      *os.File
	progress func(int64)

	mu sync.Mutex
	// grown is signalled when bytes have been written and when the transfer is over.
	grown sync.Cond
	// segments cover the file from 0 to its size in order, without gaps.
	segments []*segment
	// done is the number of bytes on the disk, and recorded its value at the last record.
	done, recorded int64
	over           bool
	// sound is true when a connection has ended because there was no segment left, and not because of an error.
	sound bool
	// serves is known after the first answer. Nothing is written before.
	serves serving
	// broken is the first error of a connection, after which others may still complete the file. fatal ends the transfer.
	broken, fatal error
	// beyond is the server's answer that the file ends before a requested byte: the bytes on the disk are not from this file.
	beyond error
	abort  context.CancelFunc
}

// newTransfer returns a transfer that resumes p, or empties it if it has no usable record of f's content.
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

// run receives the missing bytes. When it fails, the received bytes are on the disk and in the record.
func (t *transfer) run(ctx context.Context) error {
	ctx, t.abort = context.WithCancel(ctx)
	defer t.abort()
	t.progress(t.done)

	// The other connections do not wait for the first answer, since it may take long and nearly all servers serve ranges.
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
	// The first connection has ended because there is no segment left, or because of an error. Either way no other connection
	// needs to wait for a slot.
	close(alone)
	others.Wait()
	if t.sound {
		// Connections that broke later may have left parts of their segments.
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

// connections returns the maximum number of connections for the file.
func (t *transfer) connections() int {
	if t.file.Size < parallelFrom {
		return 1
	}
	return maxConnections
}

// connect fills segments, one after another, until there is none left or one fails.
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
			// When one connection receives the whole file, the requests of the others are no longer needed.
			t.abort()
		}
		t.mu.Unlock()
	}
}

// claim returns a segment for the calling connection, or nil when there is none.
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

// split splits the segment with the most missing bytes and returns its second half, or nil when the halves would be too small.
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

// receive requests a segment's bytes and writes them until the segment is full. Others may shorten it meanwhile.
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
			// The server has not announced a length, so the file may be longer.
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

// answered records whether the server sent the requested range, and returns the segment that the answer fills: s, or, when the
// whole file is sent, a segment from the first missing byte to the end. It returns nil when another connection is already
// receiving the whole file.
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

// write writes the next bytes of a segment to the disk. It returns the number of bytes beyond the segment's end, which are not
// written, and whether the segment is full.
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
		// Starts writing to the disk early, so that Sync takes less time at the end.
		_ = unix.SyncFileRange(int(t.out.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	return surplus, full, err
}

// wrote counts n more bytes of a segment, and reports whether a record was written, and whether the segment is full.
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

// record writes the record of the received bytes. t.mu is held.
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

// verify hashes the file while it grows and compares its SHA-1 with want, unless want is empty. It returns nil when the
// transfer ends before the file is complete.
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

// contiguous waits until the file is complete up to a position after at, and returns it. When the transfer is over, it returns
// that position or at.
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
