package web

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"left4me/shared/api"
	"left4me/shared/db"
	"left4me/shared/fn/lambdahttp"
	"left4me/shared/problem"
	"left4me/templates/page"
)

func (r *Request) checkCSRF() error {
	sent := r.Header.Get(csrfHeader)
	if sent == "" {
		sent = r.PostForm.Get(csrfField)
	}
	salt, _, _ := strings.Cut(sent, ".")
	if r.secret == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(csrfToken(r.secret, salt))) != 1 {
		return problem.Forbidden("This form is too old, or your browser keeps no cookies. Please go back, reload the page and try again.")
	}
	return nil
}

// setHeaders sets the headers of every answer.
func (a *app) setHeaders(h http.Header) {
	page.SetSecurityHeaders(h, a.Settings.SteamHosts.Origins()...)
	if a.Settings.PublicURL.Scheme == "https" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// Problem finds a problem in err, for a handler that shows its sentence within a page of its own. It sets Retry-After if the
// problem says when to try again. It finds none for a program, which is shown no page: the handler then returns err as any other.
func (r *Request) Problem(w http.ResponseWriter, err error) (*problem.Problem, bool) {
	if r.JSON() {
		return nil, false
	}
	return find(w, err)
}

// find is Problem for everybody.
func find(w http.ResponseWriter, err error) (*problem.Problem, bool) {
	p, ok := problem.As(err)
	if ok && p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
	}
	return p, ok
}

// fail answers with an error page, a fragment or an api.Problem: a problem's sentence, else a general one with the request's id. It logs the cause.
func (r *Request) fail(w http.ResponseWriter, err error) {
	view := page.ErrorView{Status: http.StatusInternalServerError, Sentence: "That is a fault of left4me, not yours. Please try again in a moment."}
	p, known := find(w, err)
	sentence := db.Unavailable(err)
	if db.IsOtherSchema(err) {
		sentence = "left4me is being updated. Please try again in a moment."
	}
	switch {
	case sentence != "":
		known = false
		view.Status, view.Sentence = http.StatusServiceUnavailable, sentence
		w.Header().Set("Retry-After", "5")
	case known:
		view.Status, view.Sentence = p.Status, p.Sentence
	case errors.Is(err, context.DeadlineExceeded):
		view.Status, view.Sentence = http.StatusGatewayTimeout, "That took too long and was stopped. Please try again in a moment."
	}
	switch {
	case !known:
		view.RequestID = lambdahttp.RequestID(r.Context())
		r.app.Log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "status", view.Status, "error", err.Error())
	case p.Cause != nil:
		r.app.Log.WarnContext(r.Context(), "request refused", "method", r.Method, "path", r.URL.Path, "status", view.Status, "error", err.Error())
	}
	w.Header().Set("Cache-Control", "no-store") // the handler may have said otherwise
	if err := r.refuse(w, view); err != nil {
		r.app.Log.ErrorContext(r.Context(), "error page failed", "error", err.Error())
		http.Error(w, view.Sentence, view.Status)
	}
}

func (r *Request) refuse(w http.ResponseWriter, view page.ErrorView) error {
	if view.Status == http.StatusUnauthorized && r.JSON() {
		w.Header().Set("WWW-Authenticate", `Bearer realm="left4me"`)
	}
	if r.JSON() {
		return api.WriteProblem(w, r.passing(view.Status), view.Sentence, view.RequestID)
	}
	view.Frame, view.Kept = r.Frame(w), r.kept
	view.Frame.Ended = view.Status == http.StatusUnauthorized
	if r.Fragment() {
		return r.html(w, view.Status, page.ErrorFragment(view))
	}
	return r.html(w, view.Status, page.Error(view))
}

// failed answers for a handler that panicked or whose answer was too large. The caller has logged that.
func (a *app) failed(w http.ResponseWriter, r *http.Request) {
	a.setHeaders(w.Header())
	a.request(r).fail(w, errors.New("the handler failed; see the line before"))
}
