package lambdahost

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrClosed is the answer to requests after Shutdown began.
var ErrClosed = errors.New("lambda host is shutting down")

// UnknownFunctionError says that no function has this name.
type UnknownFunctionError struct{ Function string }

func (e *UnknownFunctionError) Error() string { return fmt.Sprintf("unknown function %q", e.Function) }

// BusyError says that the bounds stayed reached for Config.QueueWait, or that too many requests wait already.
type BusyError struct {
	Function string
	// RetryAfter is when trying again makes sense.
	RetryAfter time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("function %s: all processes are busy", e.Function)
}

// TimeoutError says that an invocation took longer than the function's TimeLimit; its process was killed.
type TimeoutError struct {
	Function string
	Limit    time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("function %s: no answer within %v", e.Function, e.Limit)
}

// FunctionError is what the function itself reported: an error that it returned, or a panic.
type FunctionError struct {
	Function string
	// Type and Message are errorType and errorMessage of the Runtime API, cut to a sensible length.
	Type, Message string
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("function %s failed: %s: %s", e.Function, e.Type, e.Message)
}

// ExitError says that a process ended without an answer (Lambda calls that Runtime.ExitError), or could not be started.
type ExitError struct {
	Function string
	// Reason is the exit status, or why there was no process.
	Reason string
	// Lines are the last lines that it printed.
	Lines []string
}

func (e *ExitError) Error() string {
	s := fmt.Sprintf("function %s ended without an answer: %s", e.Function, e.Reason)
	if len(e.Lines) > 0 {
		s += "; it said: " + strings.Join(e.Lines, " | ")
	}
	return s
}

// TooLargeError says that a request or an answer is larger than MaxPayload.
type TooLargeError struct {
	Function string
	// Answer is true when it is the function's answer, false when it is the request.
	Answer bool
	// Size in bytes, as far as it was counted.
	Size int64
}

func (e *TooLargeError) Error() string {
	what := "request"
	if e.Answer {
		what = "answer"
	}
	return fmt.Sprintf("function %s: %s of at least %d bytes is larger than %d", e.Function, what, e.Size, MaxPayload)
}
