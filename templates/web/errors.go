package web

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"left4me/shared/problem"
	"left4me/templates/page"
)

func (r *Request) checkCSRF() error {
	sent := r.Header.Get(csrfHeader)
	if sent == "" {
		form, err := r.Form()
		if err != nil {
			return err
		}
		sent = form.Get(csrfField)
	}
	if r.secret == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(csrfToken(r.secret))) != 1 {
		return problem.Forbidden("This form is too old, or your browser keeps no cookies. Please go back, reload the page and try again.")
	}
	return nil
}

// setHeaders sets the headers of every answer. Scripts and styles come only from our own files; pictures also from Steam.
func (a *App) setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "+
		"base-uri 'none'; frame-ancestors 'none'; img-src "+strings.Join(append([]string{"'self'"}, a.PictureHosts...), " "))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if a.PublicURL.Scheme == "https" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// fail answers with an error page or fragment: a problem's sentence, else a general one with the request's id. It logs the cause.
func (r *Request) fail(w http.ResponseWriter, err error) {
	view := page.ErrorView{Status: http.StatusInternalServerError, Sentence: "That is a fault of left4me, not yours. Please try again in a moment."}
	p, known := problem.As(err)
	switch {
	case known:
		view.Status, view.Sentence = p.Status, p.Sentence
		if p.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
		}
	case errors.Is(err, context.DeadlineExceeded):
		view.Status, view.Sentence = http.StatusGatewayTimeout, "That took too long and was stopped. Please try again in a moment."
	}
	switch {
	case !known:
		view.RequestID = r.app.RequestID(r.Context())
		r.app.Log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "status", view.Status, "error", err.Error())
	case p.Cause != nil:
		r.app.Log.WarnContext(r.Context(), "request refused", "method", r.Method, "path", r.URL.Path, "status", view.Status, "error", err.Error())
	}
	view.Frame = r.Frame(w)
	body := page.Error(view)
	if r.Fragment() {
		body = page.ErrorFragment(view)
	}
	if err := r.Render(w, view.Status, body); err != nil {
		r.app.Log.ErrorContext(r.Context(), "error page failed", "error", err.Error())
		http.Error(w, view.Sentence, view.Status)
	}
}

// Failed answers for a handler that panicked or whose answer was too large. The caller has logged that.
func (a *App) Failed(w http.ResponseWriter, r *http.Request) {
	a.setHeaders(w.Header())
	a.request(r).fail(w, errors.New("the handler failed; see the line before"))
}
