package lambdahost

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"left4me/shared/text"
)

// The Runtime API is documented in docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and used by aws-lambda-go's
// lambda/runtime_api_client.go. From the Extensions API there are the two calls of its lambda/extensions_api_client.go.
const (
	invocationPath = "2018-06-01/runtime/invocation/"
	initErrorPath  = "2018-06-01/runtime/init/error"
	registerPath   = "2020-01-01/extension/register"
	eventPath      = "2020-01-01/extension/event/next"

	// drainLimit is how many bytes of a too large answer are read, so that the function can receive the 413.
	drainLimit = 64 << 20
	// maxMessage is the length to which a reported error is cut.
	maxMessage = 4 << 10
)

func (h *Host) serveRuntimeAPI(w http.ResponseWriter, r *http.Request) {
	token, call, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	h.mu.Lock()
	p := h.processes[token]
	h.mu.Unlock()
	if p == nil {
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusForbidden, "Forbidden", "unknown process")
		return
	}
	rest, isInvocation := strings.CutPrefix(call, invocationPath)
	id, verb, _ := strings.Cut(rest, "/")
	switch {
	case isInvocation && rest == "next" && r.Method == http.MethodGet:
		h.serveNext(w, r, p)
	case isInvocation && (verb == "response" || verb == "error") && r.Method == http.MethodPost:
		h.serveOutcome(w, r, p, id, verb == "error")
	case call == initErrorPath && r.Method == http.MethodPost:
		h.serveInitError(w, r, p)
	case call == registerPath && r.Method == http.MethodPost:
		w.Header().Set("Lambda-Extension-Identifier", p.token)
		w.WriteHeader(http.StatusOK)
	case call == eventPath && r.Method == http.MethodGet:
		<-r.Context().Done() // aws-lambda-go registers for no events
	default:
		refuse(w, http.StatusNotFound, "NotFound", "no such call")
	}
}

// serveNext answers with the next invocation, and blocks until there is one.
func (h *Host) serveNext(w http.ResponseWriter, r *http.Request, p *process) {
	p.output.drain()
	if !h.ready(p) {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "another call for the next request is open")
		return
	}
	var inv *invocation
	select {
	case inv = <-p.work:
	case <-r.Context().Done():
	}
	if r.Context().Err() != nil {
		h.connectionLost(p, inv)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(inv.payload)))
	header.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	header.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:local:000000000000:function:"+p.function.Name)
	header.Set("Lambda-Runtime-Trace-Id", traceID(time.Now()))
	w.Write(inv.payload) // if this fails, the invocation ends with the exit of the process or with the time limit
}

// serveOutcome receives the answer to invocation id, or its error.
func (h *Host) serveOutcome(w http.ResponseWriter, r *http.Request, p *process, id string, failed bool) {
	h.mu.Lock()
	inv := p.invocation
	h.mu.Unlock()
	if inv == nil || inv.id != id {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "this process is not working on this request")
		return
	}
	body, err := readBody(r)
	if tooLarge := (*TooLargeError)(nil); errors.As(err, &tooLarge) {
		tooLarge.Function = p.function.Name
		h.settle(inv, nil, tooLarge)
		io.Copy(io.Discard, io.LimitReader(r.Body, drainLimit))
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", tooLarge.Error())
		return
	}
	if err != nil { // the connection broke: the invocation ends with the exit of the process
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the body did not arrive whole")
		return
	}
	switch {
	case failed:
		err = functionError(p.function.Name, r.Header.Get("Lambda-Runtime-Function-Error-Type"), body)
	case r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "": // the function failed while it sent its answer
		detail, _ := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		err = functionError(p.function.Name, r.Trailer.Get("Lambda-Runtime-Function-Error-Type"), detail)
	}
	if !h.settle(inv, body, err) {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "this request has ended already")
		return
	}
	accept(w)
}

// serveInitError receives the error of a failed start from runtimes other than aws-lambda-go.
func (h *Host) serveInitError(w http.ResponseWriter, r *http.Request, p *process) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxLine))
	p.output.addLine(functionError(p.function.Name, r.Header.Get("Lambda-Runtime-Function-Error-Type"), body).Error())
	accept(w)
}

// readBody reads at most MaxPayload bytes. For a longer body it returns a *TooLargeError.
func readBody(r *http.Request) ([]byte, error) {
	const initialSize = 32 << 10 // aws-lambda-go sends no length
	body := make([]byte, 0, initialSize)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > MaxPayload {
			return nil, &TooLargeError{Answer: true, Size: int64(len(body))}
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

func functionError(function, kind string, body []byte) *FunctionError {
	var report struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(body, &report) != nil {
		report.Message = string(body)
	}
	return &FunctionError{Function: function, Type: text.Truncate(cmp.Or(report.Type, kind, "Unhandled"), 200), Message: text.Truncate(report.Message, maxMessage)}
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"status":"OK"}`)
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	body, _ := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message}) // strings always marshal
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

// traceID returns a trace id in the format of AWS X-Ray for a request that is not traced.
func traceID(now time.Time) string {
	return fmt.Sprintf("Root=1-%08x-%08x%016x;Parent=%016x;Sampled=0", now.Unix(), rand.Uint32(), rand.Uint64(), rand.Uint64())
}
