// Package webtest lets tests ask for pages as a browser would: a Visitor keeps cookies and the token of forms, and follows no
// redirects. What it asks, a server or a handler in the same process, is its http.RoundTripper's business.
package webtest

import (
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// sessionCookie is the name of the session's cookie at v's origin.
func (v *Visitor) sessionCookie() string {
	if v.origin.Scheme == "https" {
		return "__Host-left4me_session"
	}
	return "left4me_session"
}

// Visitor is somebody with a browser.
type Visitor struct {
	// Header is sent with every request.
	Header http.Header

	t         testing.TB
	transport http.RoundTripper
	origin    *url.URL
	jar       http.CookieJar
	token     string
}

// New returns a visitor without cookies of the server at origin, such as http://127.0.0.1:8080. t may be nil for who uses
// only Ask, and asks for nothing else that can fail.
func New(t testing.TB, transport http.RoundTripper, origin string) *Visitor {
	v := &Visitor{t: t, transport: transport, Header: http.Header{}}
	v.GoTo(origin)
	v.Forget()
	return v
}

// GoTo makes the visitor ask another server from now on. Cookies of the same host are kept.
func (v *Visitor) GoTo(origin string) {
	u, err := url.Parse(origin)
	if err != nil {
		panic(err)
	}
	v.origin = u
}

// Forget drops all cookies and the token.
func (v *Visitor) Forget() {
	v.jar, _ = cookiejar.New(nil) // its error is always nil
	v.token = ""
}

// Token is the csrf_token of the last page that had one.
func (v *Visitor) Token() string { return v.token }

// Session is the token of the visitor's session, or empty.
func (v *Visitor) Session() string {
	for _, c := range v.jar.Cookies(v.origin) {
		if c.Name == v.sessionCookie() {
			return c.Value
		}
	}
	return ""
}

// SetSession gives the visitor a session of account.Store's SignIn.
func (v *Visitor) SetSession(token string) {
	v.jar.SetCookies(v.origin, []*http.Cookie{{Name: v.sessionCookie(), Value: token, Path: "/"}})
}

// Htmx makes the visitor's further requests htmx's.
func (v *Visitor) Htmx() *Visitor {
	v.Header.Set("HX-Request", "true")
	return v
}

// Answer is what came back.
type Answer struct {
	*http.Response
	Body string
	page *goquery.Document
}

// Page is the answer as a document.
func (a Answer) Page() *goquery.Document { return a.page }

// Text is what a person reads of the parts of the page that a selector names.
func (a Answer) Text(selector string) string {
	return strings.Join(strings.Fields(a.page.Find(selector).Text()), " ")
}

// Location is where the answer redirects to.
func (a Answer) Location() string { return a.Header.Get("Location") }

// Notice is what the page that the answer leads to will say; empty for nothing.
func (a Answer) Notice() string {
	for _, c := range a.Cookies() {
		if strings.TrimPrefix(c.Name, "__Host-") == "left4me_notice" {
			text, err := base64.RawURLEncoding.DecodeString(c.Value)
			if err != nil {
				return "not base64: " + c.Value
			}
			return string(text)
		}
	}
	return ""
}

// Get asks for a path, with its query.
func (v *Visitor) Get(path string) Answer {
	v.t.Helper()
	return v.GetWith(nil, path)
}

// GetWith is Get with header in addition.
func (v *Visitor) GetWith(header http.Header, path string) Answer {
	v.t.Helper()
	return v.must(v.Ask("GET", path, nil, header))
}

// Post sends a form, name and value in turn, with the token.
func (v *Visitor) Post(path string, form ...string) Answer {
	v.t.Helper()
	return v.PostWith(nil, path, append(form, "csrf_token", v.token)...)
}

// PostWith sends a form as it is, with header in addition.
func (v *Visitor) PostWith(header http.Header, path string, form ...string) Answer {
	v.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	return v.must(v.Ask("POST", path, values, header))
}

func (v *Visitor) must(a Answer, err error) Answer {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	return a
}

// SignIn drops all cookies and signs in through the form, which leads to next, or to the first page if next is empty.
func (v *Visitor) SignIn(name, password, next string) (Answer, error) {
	v.Forget()
	if _, err := v.Ask("GET", "/login", nil, nil); err != nil {
		return Answer{}, err
	}
	return v.Ask("POST", "/login", url.Values{"name": {name}, "password": {password}, "next": {next}, "csrf_token": {v.token}}, nil)
}

// Ask makes one request for path, which need not be well-formed, sends form as it is unless it is nil, and has header in
// addition to the visitor's own.
func (v *Visitor) Ask(method, path string, form url.Values, header http.Header) (Answer, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, v.origin.String(), body)
	if err != nil {
		return Answer{}, err
	}
	r.URL.Opaque = path
	maps.Copy(r.Header, v.Header)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(r.Header, header)
	for _, c := range v.jar.Cookies(v.origin) {
		r.AddCookie(c)
	}
	resp, err := v.transport.RoundTrip(r)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	v.jar.SetCookies(v.origin, resp.Cookies())
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Response: resp, Body: string(content)}
	if a.page, err = goquery.NewDocumentFromReader(strings.NewReader(a.Body)); err != nil {
		return Answer{}, err
	}
	if token := a.page.Find("input[name=csrf_token]").AttrOr("value", ""); token != "" {
		v.token = token
	}
	return a, nil
}
