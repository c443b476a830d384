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

// patience is how long a function may take before it counts as broken.
const patience = 20 * time.Second

// start runs a program until it has answered event, and returns the times from its spawn to its first question for work and
// to its answer, which may be an error.
func start(program string, env []string, event []byte) (asks, answers time.Duration, err error) {
	a := &api{event: event, asked: make(chan time.Time, 1), answered: make(chan time.Time, 1)}
	web := httptest.NewServer(a)
	defer web.Close()
	var said strings.Builder
	cmd := exec.Command(program)
	cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(web.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME=f"}, env...)
	cmd.Stderr = &said
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	var answered time.Time
	select {
	case answered = <-a.answered:
	case <-time.After(patience):
	}
	_ = cmd.Process.Kill() // it waits for more work
	_ = cmd.Wait()
	if answered.IsZero() {
		return 0, 0, fmt.Errorf("%s has not answered: %s", program, said.String())
	}
	return (<-a.asked).Sub(begun), answered.Sub(begun), nil
}

// api is the Runtime API for one process with one event.
type api struct {
	event           []byte
	asked, answered chan time.Time
}

// ServeHTTP implements the calls that aws-lambda-go makes.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	switch path.Base(r.URL.Path) {
	case "next":
		select {
		case a.asked <- now:
		default:
			<-r.Context().Done() // it has had its event
			return
		}
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(now.Add(patience).UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:local:000000000000:function:f")
		_, _ = w.Write(a.event) // if it does not arrive, no answer does
	case "response", "error":
		_, _ = io.Copy(io.Discard, r.Body)
		a.answered <- time.Now()
		w.WriteHeader(http.StatusAccepted)
	default:
		http.NotFound(w, r)
	}
}
