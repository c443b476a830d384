package steam

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// StatusError is an HTTP answer with an error status.
type StatusError struct {
	// Host is the content host; empty for the Web API.
	Host string
	// Code is the HTTP status.
	Code int
	// RetryAfter is how long the server asked us to wait; zero when it did not say.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d", who(e.Host), e.Code)
}

// HTMLError is an HTML page instead of JSON or a file, which Steam sends when it is overloaded.
type HTMLError struct {
	// Host is the content host; empty for the Web API.
	Host string
}

func (e *HTMLError) Error() string {
	if e.Host == "" {
		return "steam answered HTML instead of JSON"
	}
	return e.Host + " answered HTML instead of the file"
}

// AnswerError is an invalid answer of Steam's Web API.
type AnswerError struct {
	// Problem completes the sentence that starts with `steam answered`.
	Problem string
}

func (e *AnswerError) Error() string { return "steam answered " + e.Problem }

// UnreachableError is a connection that failed before there was an answer.
type UnreachableError struct {
	// Host is the content host; empty for the Web API.
	Host string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach %s: %v", who(e.Host), e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// RefusedError is a link, a redirect or an address that is not allowed. Nothing was sent to it.
type RefusedError struct {
	// Host is the host, or the address, that was refused.
	Host string
	// Reason is a sentence without its full stop.
	Reason string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s refused: %s", printable(e.Host, 100), e.Reason)
}

// StalledError is a connection on which nothing arrived for too long, or too little.
type StalledError struct {
	// After is how long the client has waited.
	After time.Duration
	// Received is the number of bytes that arrived in that time.
	Received int
}

func (e *StalledError) Error() string {
	if e.Received == 0 {
		return fmt.Sprintf("stalled: no data for %s", e.After)
	}
	return fmt.Sprintf("too slow: %d bytes in %s", e.Received, e.After)
}

// RangeError is an answer with another range than the requested one.
type RangeError struct {
	// Host is the content host.
	Host string
	// Asked is the Range header of the request, Answered the Content-Range header of the answer.
	Asked, Answered string
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("%s answered range %q when asked for %q", e.Host, printable(e.Answered, 100), e.Asked)
}

// Kind is a word for the kind of an error of Client or Content, for counting: `http_503`, `html`, `answer`, `refused`,
// `stalled`, `range`, `unreachable`, `broken` for a connection that ended early, or `other`.
func Kind(err error) string {
	switch {
	case is[*StatusError](err):
		status, _ := errors.AsType[*StatusError](err)
		return "http_" + strconv.Itoa(status.Code)
	case is[*HTMLError](err):
		return "html"
	case is[*AnswerError](err):
		return "answer"
	case is[*RefusedError](err):
		return "refused"
	case is[*StalledError](err):
		return "stalled"
	case is[*RangeError](err):
		return "range"
	case is[*UnreachableError](err):
		return "unreachable"
	case is[*net.OpError](err), errors.Is(err, io.ErrUnexpectedEOF):
		return "broken"
	}
	return "other"
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// who is the host's name in a sentence.
func who(host string) string {
	if host == "" {
		return "steam"
	}
	return host
}

// cause strips the method and the link from an error of net/http.
func cause(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// retryAfter reads the header of that name: seconds, or a date, which is compared with the answer's own Date so that
// neither clock matters. Zero when there is none, or none that can be understood.
func retryAfter(h http.Header) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, until.Sub(now))
}
