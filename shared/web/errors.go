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

func (v *Visit) checkCSRF() error {
	sent := v.Header.Get(csrfHeader)
	if sent == "" {
		form, err := v.Form()
		if err != nil {
			return err
		}
		sent = form.Get(csrfField)
	}
	if v.secret == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(csrfToken(v.secret))) != 1 {
		return problem.Forbidden("This form is too old, or your browser keeps no cookies. Please go back, reload the page and try again.")
	}
	return nil
}

// secure sets the headers that every answer has. Scripts and styles are our own files only; pictures come from Steam.
func (a *App) secure(h http.Header) {
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

// fail answers with what err lets a person know, and logs the rest.
func (v *Visit) fail(w http.ResponseWriter, err error) {
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
		view.RequestID = v.app.RequestID(v.Context())
		v.app.Log.ErrorContext(v.Context(), "request failed", "method", v.Method, "path", v.URL.Path, "status", view.Status, "error", err.Error())
	case p.Cause != nil:
		v.app.Log.WarnContext(v.Context(), "request refused", "method", v.Method, "path", v.URL.Path, "status", view.Status, "error", err.Error())
	}
	view.Frame = v.Frame(w)
	body := page.Error(view)
	if v.Fragment() {
		body = page.ErrorFragment(view)
	}
	if err := v.Render(w, view.Status, body); err != nil {
		v.app.Log.ErrorContext(v.Context(), "error page failed", "error", err.Error())
		http.Error(w, view.Sentence, view.Status)
	}
}

// Failed answers in place of a handler that panicked or answered more than fits, which its caller has logged.
func (a *App) Failed(w http.ResponseWriter, r *http.Request) {
	a.secure(w.Header())
	a.visit(r).fail(w, errors.New("the handler failed; see the line before"))
}
