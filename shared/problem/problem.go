// Package problem is the type of errors that people see: a sentence that says what is wrong with a request and what to do
// (product.md P43). Any other error is a fault of left4me, and its text is only logged.
//
// templates/web turns a problem into a page.
package problem

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Problem is an error that is shown to the person whose request failed.
type Problem struct {
	// Status is the HTTP status that fits.
	Status int
	// Sentence says what is wrong and what to do, without internals.
	Sentence string
	// RetryAfter is how long to wait before trying again; zero: unknown.
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

// Wrap puts the operation in front of err, as fmt.Errorf would with `: %w`. A problem, and nil, stay as they are.
func Wrap(err error, format string, args ...any) error {
	if _, isProblem := As(err); isProblem || err == nil {
		return err
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}

// Invalid returns the problem of a form that was filled in wrongly: 400.
func Invalid(format string, args ...any) error {
	return &Problem{Status: http.StatusBadRequest, Sentence: fmt.Sprintf(format, args...)}
}

// Forbidden returns the problem of a request that this person may not make: 403.
func Forbidden(format string, args ...any) error {
	return &Problem{Status: http.StatusForbidden, Sentence: fmt.Sprintf(format, args...)}
}

// NotFound returns the problem of something that does not exist (any more): 404.
func NotFound(format string, args ...any) error {
	return &Problem{Status: http.StatusNotFound, Sentence: fmt.Sprintf(format, args...)}
}

// Conflict returns the problem of a request that conflicts with the current state: 409.
func Conflict(format string, args ...any) error {
	return &Problem{Status: http.StatusConflict, Sentence: fmt.Sprintf(format, args...)}
}

// TooMany returns the problem of too many requests, and asks to wait for retryAfter: 429.
func TooMany(retryAfter time.Duration, format string, args ...any) error {
	return &Problem{Status: http.StatusTooManyRequests, Sentence: fmt.Sprintf(format, args...), RetryAfter: retryAfter}
}

// Upstream returns the problem of another service's failure, with its cause for the log: 502.
func Upstream(cause error, format string, args ...any) error {
	return &Problem{Status: http.StatusBadGateway, Sentence: fmt.Sprintf(format, args...), Cause: cause}
}
