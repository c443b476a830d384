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

	"left4me/shared/steam"
)

const (
	// maxConnections is for one item: eight together were twenty times as fast as one from afar (steam.md, Content).
	maxConnections = 8
	// parallelFrom is the length from which more than one connection pays for its start.
	parallelFrom = 8 << 20
	// minSegment is the least that is worth asking for on a connection of its own.
	minSegment = 256 << 10
	bufferSize = 128 << 10
	// recordEvery is how much may arrive between two records: so much is lost at most when the process is killed.
	recordEvery = 1 << 20
)

// segment is a stretch of the file that one connection fills from its start: start to next is on the disk, next to
// busy is being written, busy to end is to come.
type segment struct {
	start, next, busy, end int64
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
	// broken is the first connection's failure, which others may make good; fatal is what ends the transfer for all.
	broken, fatal error
	abort         context.CancelFunc
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
			t.segments = append(t.segments, &segment{start: at, next: at, busy: at, end: d[0]})
		}
		if d[0] < d[1] {
			t.segments = append(t.segments, &segment{start: d[0], next: d[1], busy: d[1], end: d[1]})
		}
		t.done += d[1] - d[0]
		at = d[1]
	}
	t.recorded = t.done
	if f.Size >= parallelFrom {
		open := 0
		for _, s := range t.segments {
			if s.next < s.end {
				open++
			}
		}
		for ; open < maxConnections && t.split() != nil; open++ {
		}
	}
	return t, nil
}

// run receives what is missing. When it fails, what has arrived is on the disk and in the record.
func (t *transfer) run(ctx context.Context) error {
	ctx, t.abort = context.WithCancel(ctx)
	defer t.abort()
	t.progress(t.done)

	var others sync.WaitGroup
	alone := make(chan struct{})
	sound := t.connect(ctx, func() {
		if t.file.Size < parallelFrom {
			return
		}
		for range maxConnections - 1 {
			others.Go(func() {
				select {
				case t.cache.spare <- struct{}{}:
					t.connect(ctx, func() {})
					<-t.cache.spare
				case <-alone:
				}
			})
		}
	})
	// The first connection ends when there is nothing left to take, or badly: either way nobody needs to wait any longer
	// for a connection to become free.
	close(alone)
	others.Wait()
	if sound {
		// What others left when they broke after the first connection had found nothing more to take is little.
		t.connect(ctx, func() {})
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
	}
	if err := t.record(); err != nil {
		return err
	}
	return &brokenTransfer{done: t.done, size: t.file.Size, cause: t.broken}
}

// connect fills segments, one after another, until there is none to take (true) or one breaks (false). serving is called
// once, when the server has shown that it serves ranges.
func (t *transfer) connect(ctx context.Context, serving func()) (sound bool) {
	serving = sync.OnceFunc(serving)
	var buf []byte
	for {
		s := t.claim()
		if s == nil {
			return true
		}
		if buf == nil {
			buf = make([]byte, bufferSize)
		}
		if err := t.receive(ctx, s, buf, serving); err != nil {
			t.mu.Lock()
			s.owned = false
			if t.broken == nil {
				t.broken = err
			}
			t.mu.Unlock()
			return false
		}
	}
}

// claim takes a segment for the calling connection; nil when there is nothing worth taking.
func (t *transfer) claim() *segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.segments, func(s *segment) bool { return !s.owned && s.next < s.end })
	s := (*segment)(nil)
	if i >= 0 {
		s = t.segments[i]
	} else if s = t.split(); s == nil {
		return nil
	}
	s.owned = true
	return s
}

// split cuts the segment with most to come in two and returns the second half; nil when the halves would be too small.
func (t *transfer) split() *segment {
	at := 0
	for i, s := range t.segments {
		if s.end-s.busy > t.segments[at].end-t.segments[at].busy {
			at = i
		}
	}
	s := t.segments[at]
	if s.end-s.busy < 2*minSegment {
		return nil
	}
	middle := s.busy + (s.end-s.busy)/2
	half := &segment{start: middle, next: middle, busy: middle, end: s.end}
	s.end = middle
	t.segments = slices.Insert(t.segments, at+1, half)
	return half
}

// receive asks for a segment's bytes and writes them, until the segment is full: others may make it shorter meanwhile.
func (t *transfer) receive(ctx context.Context, s *segment, buf []byte, serving func()) error {
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
			// The file is shorter than what we have of it: that is another file's.
			return t.fail(err)
		}
		return err
	}
	defer part.Body.Close()
	switch {
	case part.Total >= 0 && part.Total != t.file.Size:
		return t.fail(&lengthError{got: part.Total, want: t.file.Size})
	case part.Ranged && part.From != from:
		return t.fail(fmt.Errorf("the server sent the file from byte %d when asked for it from %d", part.From, from))
	case part.Ranged:
		serving()
	default:
		if err := t.whole(s); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, part.Body, from); err != nil {
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

// whole makes s reach to the file's end, for a server that answers with the whole file. That is only possible for the
// first answer, which nobody else's is beside.
func (t *transfer) whole(s *segment) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.segments {
		if other != s && other.owned {
			return errors.New("the server sent the whole file when asked for a range of it")
		}
	}
	i := slices.Index(t.segments, s)
	for _, later := range t.segments[i+1:] {
		t.done -= later.next - later.start
	}
	t.segments = t.segments[:i+1]
	s.end = t.file.Size
	t.recorded = min(t.recorded, t.done)
	return nil
}

// write puts the next bytes of a segment on the disk. It returns how many were left out because they lie beyond its end,
// and whether it is full.
func (t *transfer) write(s *segment, p []byte) (surplus int, full bool, err error) {
	t.mu.Lock()
	surplus = int(max(0, s.next+int64(len(p))-s.end))
	p = p[:len(p)-surplus]
	// From here on split leaves these bytes to us, so that no byte is ever written by two connections, one of them
	// perhaps after it was hashed.
	s.busy = s.next + int64(len(p))
	t.mu.Unlock()

	err = t.cache.disk.write(t.out, p, s.next)

	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		s.busy = s.next
		return 0, false, err
	}
	s.next = s.busy
	t.done += int64(len(p))
	if t.done-t.recorded >= recordEvery && t.done < t.file.Size {
		if err := t.record(); err != nil {
			return 0, false, err
		}
	}
	t.grown.Broadcast()
	t.progress(t.done)
	return surplus, s.next == s.end, nil
}

// record writes down what has arrived. t.mu is held.
func (t *transfer) record() error {
	r := record{Of: t.cache.recordName(t.file), Size: t.file.Size}
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
		return fmt.Errorf("SHA-1 differs: the content's is %s, the link names %s", got, want)
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
