package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"
)

// timeout is how long a function may take before it counts as broken.
const timeout = 20 * time.Second

// start runs a program until it has answered event, even with an error. It returns the times from the start of its process to
// its first request for an event, and to its answer.
func start(program string, env []string, event []byte) (ready, answer time.Duration, err error) {
	a := &api{event: event, ready: make(chan time.Time, 1), answered: make(chan time.Time, 1)}
	web := httptest.NewServer(a)
	defer web.Close()
	var stderr strings.Builder
	cmd := exec.Command(program)
	cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(web.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME=f"}, env...)
	cmd.Stderr = &stderr
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	var answered time.Time
	select {
	case answered = <-a.answered:
	case <-time.After(timeout):
	}
	_ = cmd.Process.Kill() // otherwise it waits for more events
	_ = cmd.Wait()
	if answered.IsZero() {
		return 0, 0, fmt.Errorf("%s has not answered: %s", program, stderr.String())
	}
	return (<-a.ready).Sub(begun), answered.Sub(begun), nil
}

// api is the Runtime API for one process and one event.
type api struct {
	event           []byte
	ready, answered chan time.Time
}

// ServeHTTP implements the calls that aws-lambda-go makes.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	switch path.Base(r.URL.Path) {
	case "next":
		select {
		case a.ready <- now:
		default:
			<-r.Context().Done() // there is only one event
			return
		}
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(now.Add(timeout).UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:local:000000000000:function:f")
		_, _ = w.Write(a.event) // if it fails, the answer is missing, too
	case "response", "error":
		_, _ = io.Copy(io.Discard, r.Body)
		a.answered <- time.Now()
		w.WriteHeader(http.StatusAccepted)
	default:
		http.NotFound(w, r)
	}
}
