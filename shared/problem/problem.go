// Package problem is the kind of error whose sentence a person may read: what went wrong with a request and what to do
// about it (product.md P43). Any other error is a fault of ours, whose text stays in the log.
//
// It knows nothing of pages; templates/web turns a problem into one.
package problem

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Problem is an error for the person who caused it, or who waits for what failed.
type Problem struct {
	// Status is the HTTP status that fits.
	Status int
	// Sentence says what to do; it holds no internals.
	Sentence string
	// RetryAfter is when asking again makes sense; zero says nothing.
	RetryAfter time.Duration
	// Cause is for the log; it may be nil.
	Cause error
}

// Error is the sentence with its cause, for logs.
func (p *Problem) Error() string {
	if p.Cause != nil {
		return p.Sentence + ": " + p.Cause.Error()
	}
	return p.Sentence
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// As finds the Problem in err's chain.
func As(err error) (*Problem, bool) {
	var p *Problem
	ok := errors.As(err, &p)
	return p, ok
}

// Invalid is a form that was filled in wrongly: 400.
func Invalid(format string, args ...any) error {
	return &Problem{Status: http.StatusBadRequest, Sentence: fmt.Sprintf(format, args...)}
}

// Forbidden is something that this person may not do: 403.
func Forbidden(format string, args ...any) error {
	return &Problem{Status: http.StatusForbidden, Sentence: fmt.Sprintf(format, args...)}
}

// NotFound is something that is not there (any more): 404.
func NotFound(format string, args ...any) error {
	return &Problem{Status: http.StatusNotFound, Sentence: fmt.Sprintf(format, args...)}
}

// Conflict is something that cannot be as things stand: 409.
func Conflict(format string, args ...any) error {
	return &Problem{Status: http.StatusConflict, Sentence: fmt.Sprintf(format, args...)}
}

// TooMany asks to wait for retryAfter: 429.
func TooMany(retryAfter time.Duration, format string, args ...any) error {
	return &Problem{Status: http.StatusTooManyRequests, Sentence: fmt.Sprintf(format, args...), RetryAfter: retryAfter}
}

// Upstream is another service's failure, with its cause for the log: 502.
func Upstream(cause error, format string, args ...any) error {
	return &Problem{Status: http.StatusBadGateway, Sentence: fmt.Sprintf(format, args...), Cause: cause}
}
