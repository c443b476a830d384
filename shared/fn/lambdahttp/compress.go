package lambdahttp

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// minCompressed is the size in bytes of the smallest body that is compressed. A smaller one fits in one packet anyway.
const minCompressed = 1 << 10

// compress compresses the body with gzip if it is text, the client accepts that, and it makes Lambda's answer shorter.
//
// The size of a compressed page can tell an observer of the network what the page has in common with a text that he makes the
// visitor ask for (the attack BREACH). The only secret in pages is the csrf_token, which templates/web encodes differently in
// each answer.
func (a *Adapter) compress(w *response, r *http.Request) error {
	h := w.sent
	if w.status != http.StatusNotModified && (h.Get("Content-Type") == "" || !isText(h)) {
		return nil
	}
	// An answer that stays uncompressed needs this header, too: a cache must not give it to clients that accept compressed ones.
	h.Add("Vary", "Accept-Encoding")
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		h.Set("ETag", "W/"+tag) // a strong one would promise the same bytes to all clients
	}
	if w.body.Len() < minCompressed || h.Get("Content-Range") != "" || !acceptsGzip(r.Header.Get("Accept-Encoding")) {
		return nil
	}
	if a.zip == nil {
		a.zip = gzip.NewWriter(nil)
	}
	var small bytes.Buffer
	a.zip.Reset(&small)
	if _, err := a.zip.Write(w.body.Bytes()); err != nil {
		return err
	}
	if err := a.zip.Close(); err != nil {
		return err
	}
	if base64.StdEncoding.EncodedLen(small.Len()) < w.body.Len() {
		w.body = small
		h.Set("Content-Encoding", "gzip")
		h.Del("Accept-Ranges") // they would be of the uncompressed body
	}
	return nil
}

// acceptsGzip reports whether a client with this Accept-Encoding accepts gzip, and does not prefer no compression (RFC 9110,
// section 12.5.3).
func acceptsGzip(accepted string) bool {
	weights := map[string]float64{}
	for entry := range strings.SplitSeq(accepted, ",") {
		coding, parameter, _ := strings.Cut(entry, ";")
		weight := 1.0
		if _, q, ok := strings.Cut(parameter, "="); ok {
			weight, _ = strconv.ParseFloat(strings.TrimSpace(q), 64) // 0 if it is not a number
		}
		weights[strings.ToLower(strings.TrimSpace(coding))] = weight
	}
	weight, ok := weights["gzip"]
	if !ok {
		weight = weights["*"]
	}
	return weight > 0 && weight >= weights["identity"]
}
