// Package api says how left4me answers programs (product.md P81): views as JSON, errors as problem details (RFC 9457), and forms with Done.
//
// It knows no particular view: the JSON of a value has all that is exported in its type, see Value.
package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"left4me/shared/route"
)

// Types of content.
const (
	JSON        = "application/json"
	ProblemJSON = "application/problem+json"
)

// Wanted reports whether a request asks for JSON: its header Accept names it.
func Wanted(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), JSON) }

// Done is the answer to a form that was accepted. Its status is 202 if it has asked for a job, 201 if it has made something with a page below
// the form's own path, and otherwise 200.
type Done struct {
	// Message says what was done. It may be empty.
	Message string
	// Location is the path, with a query, of what the form leads to: the job, what was made, or what was changed.
	Location string
}

// Problem is the answer to a request that was refused, or has failed: problem details without a type of its own.
type Problem struct {
	// Title is the meaning of Status in HTTP.
	Title  string
	Status int
	// Detail says what is wrong and what to do.
	Detail string
	// RequestID is also in the log of left4me. It is empty unless the error is a fault of left4me.
	RequestID string
}

// Write answers with the JSON of v.
func Write(w http.ResponseWriter, status int, v any) error { return write(w, JSON, status, v) }

// WriteDone answers the form at a path.
func WriteDone(w http.ResponseWriter, path string, d Done) error {
	status := http.StatusOK
	switch {
	case strings.HasPrefix(d.Location, route.JobShow.URL("")):
		status = http.StatusAccepted
	case strings.HasPrefix(d.Location, path+"/"):
		status = http.StatusCreated
	}
	if status != http.StatusOK {
		w.Header().Set("Location", d.Location)
	}
	return Write(w, status, d)
}

// WriteProblem answers with a Problem.
func WriteProblem(w http.ResponseWriter, status int, detail, requestID string) error {
	return write(w, ProblemJSON, status, Problem{Title: http.StatusText(status), Status: status, Detail: detail, RequestID: requestID})
}

func write(w http.ResponseWriter, contentType string, status int, v any) error {
	body, err := json.Marshal(Value(v))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	return err
}
