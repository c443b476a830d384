package lambdahost

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrClosed is the error of requests after Shutdown was called.
var ErrClosed = errors.New("lambda host is shutting down")

// UnknownFunctionError means that no function has this name.
type UnknownFunctionError struct{ Function string }

func (e *UnknownFunctionError) Error() string { return fmt.Sprintf("unknown function %q", e.Function) }

// BusyError means that no process became free within Config.QueueWait, or that too many requests are waiting.
type BusyError struct {
	Function string
	// RetryAfter is how long to wait before trying again.
	RetryAfter time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("function %s: all processes are busy", e.Function)
}

// TimeoutError means that an invocation took longer than the function's TimeLimit, and that its process was killed.
type TimeoutError struct {
	Function string
	Limit    time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("function %s: no answer within %v", e.Function, e.Limit)
}

// KillError, as the cause of Invoke's context, makes Invoke kill the process at once and return without waiting for its exit.
type KillError struct {
	// Reason is a clause about the process, such as `it ignored a cancel`.
	Reason string
}

func (e *KillError) Error() string { return "killed, because " + e.Reason }

// FunctionError is an error or a panic that the function reported.
type FunctionError struct {
	Function string
	// Type and Message are errorType and errorMessage of the Runtime API, shortened.
	Type, Message string
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("function %s failed: %s: %s", e.Function, e.Type, e.Message)
}

// ExitError means that a process exited without an answer (Lambda calls that Runtime.ExitError), or could not be started.
type ExitError struct {
	Function string
	// AtStart is true if the process exited before it asked for a request, or could not be started. It has got no request.
	AtStart bool
	// Reason is the exit status, or why the process could not be started.
	Reason string
	// Lines are the last lines that the process printed.
	Lines []string
}

func (e *ExitError) Error() string {
	what := "ended without an answer"
	if e.AtStart {
		what = "cannot start"
	}
	s := fmt.Sprintf("function %s %s: %s", e.Function, what, e.Reason)
	if len(e.Lines) > 0 {
		s += "; it said: " + strings.Join(e.Lines, " | ")
	}
	return s
}

// TooLargeError means that a request or an answer is larger than MaxPayload.
type TooLargeError struct {
	Function string
	// Answer is true for the function's answer and false for the request.
	Answer bool
	// Size is the number of bytes that were counted. The rest was not read.
	Size int64
}

func (e *TooLargeError) Error() string {
	kind := "request"
	if e.Answer {
		kind = "answer"
	}
	return fmt.Sprintf("function %s: %s of at least %d bytes is larger than %d", e.Function, kind, e.Size, MaxPayload)
}
