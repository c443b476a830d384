package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// credentials are those of a function's role, as Lambda puts them into the environment.
type credentials struct {
	keyID, key, session string
}

// sign adds AWS's Signature Version 4 to r, whose path is "/" and which has no query: all that a question in AWS's JSON
// protocol needs. It signs every header that r has by then. See
// docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
func sign(r *http.Request, body []byte, who credentials, region, service string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", stamp)
	if who.session != "" {
		r.Header.Set("X-Amz-Security-Token", who.session)
	}
	lines := []string{"host:" + r.URL.Host}
	for name, values := range r.Header {
		lines = append(lines, strings.ToLower(name)+":"+strings.Join(values, ","))
	}
	slices.Sort(lines)
	var names []string
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, name)
	}
	signed := strings.Join(names, ";")
	request := strings.Join([]string{r.Method, "/", "", strings.Join(lines, "\n") + "\n", signed, digest(body)}, "\n")

	day := stamp[:8]
	scope := strings.Join([]string{day, region, service, "aws4_request"}, "/")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, digest([]byte(request))}, "\n")
	key := []byte("AWS4" + who.key)
	for _, part := range []string{day, region, service, "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+who.keyID+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(key))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
