package steamtest

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

func (i *item) filePath() string {
	if i.Plain {
		return fmt.Sprintf("/ugc/%s/file%d.vpk/", i.ID, i.Revision)
	}
	return fmt.Sprintf("/ugc/%s/%s/", i.ID, i.file.SHA1())
}

func (i *item) picturePath() string {
	return fmt.Sprintf("/ugc/%s0/%X/", i.ID, sha1.Sum(i.picture()))
}

// serveContent serves files and pictures. An item's own id is the number of its file, with a 0 behind that of its picture.
func (s *Server) serveContent(w http.ResponseWriter, r *http.Request) {
	kind, id := "content", r.PathValue("number")
	found := s.item(id)
	if found == nil || r.URL.Path != found.filePath() {
		if of := s.item(strings.TrimSuffix(id, "0")); of != nil && r.URL.Path == of.picturePath() {
			kind, id, found = "preview", of.ID, of
		} else {
			found = nil
		}
	}
	request := Request{Kind: kind, IDs: []string{id}, Range: r.Header.Get("Range")}
	fault, leave := s.begin(request)
	defer leave()
	switch {
	case misbehave(w, r, fault):
		return
	case found == nil || found.Result != 1:
		http.NotFound(w, r)
		return
	case fault.Redirect == "self" && r.URL.RawQuery == "":
		http.Redirect(w, r, r.URL.Path+"?again", http.StatusFound)
		return
	case fault.Redirect == "loop":
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
		return
	case fault.Redirect != "" && fault.Redirect != "self":
		http.Redirect(w, r, fault.Redirect, http.StatusFound)
		return
	}
	var content io.ReaderAt = found.file
	size := found.file.Size
	w.Header().Set("Content-Type", "application/octet-stream")
	if kind == "preview" || fault.Picture {
		picture := found.picture()
		content, size = bytes.NewReader(picture), int64(len(picture))
		w.Header().Set("Content-Type", "image/png")
	}
	if fault.Corrupt {
		content = corrupt{content, size / 2}
	}
	if fault.Grow != 0 {
		content, size = padded{content, size}, max(0, size+fault.Grow)
	}
	if fault.NoRanges {
		r.Header.Del("Range")
	}
	http.ServeContent(s.newAnswering(r.Context(), w, request, fault, leave), r, "", time.Unix(found.Updated, 0), io.NewSectionReader(content, 0, size))
}

// corrupt inverts the bytes from a position on.
type corrupt struct {
	io.ReaderAt
	from int64
}

func (c corrupt) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	for i := max(0, c.from-off); i < int64(n); i++ {
		p[i] = ^p[i]
	}
	return n, err
}

// padded is followed by zeros without end.
type padded struct {
	io.ReaderAt
	size int64
}

func (f padded) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < f.size {
		n, _ = f.ReaderAt.ReadAt(p[:min(int64(len(p)), f.size-off)], off)
	}
	clear(p[n:])
	return len(p), nil
}
