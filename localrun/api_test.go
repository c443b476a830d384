package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/route"
	"left4me/templates/webtest"
)

// Every route that is described for programs is asked by programs of everybody, through the gateway and the real programs, and answers as
// GET /api describes it.
//
// shows: P81
func TestProgramsGetWhatIsDescribed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	got := f.send(nobody, "GET", "/api", nil, nil)
	described, err := openapi3.NewLoader().LoadFromData([]byte(got.Body))
	if err == nil {
		err = described.Validate(t.Context())
	}
	if err != nil {
		t.Fatalf("GET /api: %d: %v", got.StatusCode, err)
	}
	headers := map[string]http.Header{nobody: {"Accept": {"application/json"}}}
	for _, who := range []string{stranger, owner, root} {
		accounts := account.NewStore(f.db, time.Now)
		id, err := db.Row(t.Context(), f.db, db.Value[int64], `SELECT id FROM users WHERE name = ?`, who)
		if err != nil {
			t.Fatal(err)
		}
		token, err := accounts.CreateToken(t.Context(), account.User{ID: id}, "test", 1, true)
		if err != nil {
			t.Fatal(err)
		}
		headers[who] = http.Header{"Accept": {"application/json"}, "Authorization": {"Bearer " + token}}
	}
	// A program has no cookies.
	program := webtest.New(t, http.DefaultTransport, f.url)
	for _, r := range route.All() {
		to := routers.Route{Spec: described, Path: r.Pattern, PathItem: described.Paths.Value(r.Pattern), Method: r.Method}
		if to.PathItem == nil || to.PathItem.GetOperation(r.Method) == nil {
			continue
		}
		to.Operation = to.PathItem.GetOperation(r.Method)
		for _, u := range uses[r.Name] {
			if r.Method == http.MethodPost && u.form == nil {
				u.form = fields()
			}
			for who, header := range headers {
				path, form := u.make(f)
				got, err := program.Ask(r.Method, path, form, header)
				if err != nil {
					t.Fatal(err)
				}
				if err := conforms(&to, path, form, got); err != nil {
					t.Errorf("%q, %s %s (%s): %d: %v\n%s", who, r.Method, path, u.about, got.StatusCode, err, got.Body)
				}
				want := u.want(r, who)
				switch {
				case who == nobody && r.Who != route.Anyone:
					want = http.StatusUnauthorized
				case want == leads:
					if want = okay; got.StatusCode == http.StatusCreated || got.StatusCode == http.StatusAccepted {
						want = got.StatusCode
					}
				}
				if got.StatusCode != want {
					t.Errorf("%q, %s %s (%s): %d, want %d: %s", who, r.Method, path, u.about, got.StatusCode, want, got.Body)
				}
			}
		}
	}
}

// conforms reports how an answer, or the request that it accepts, differs from the description.
func conforms(to *routers.Route, path string, form url.Values, got webtest.Answer) error {
	request, err := http.NewRequest(to.Method, "http://left4me.test"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	parameters := map[string]string{}
	segments := strings.Split(strings.SplitN(path, "?", 2)[0], "/")
	for i, s := range strings.Split(to.Path, "/") {
		if name, is := strings.CutPrefix(s, "{"); is {
			parameters[strings.TrimSuffix(name, "}")] = segments[i]
		}
	}
	input := &openapi3filter.RequestValidationInput{Request: request, PathParams: parameters, Route: to, Options: options}
	if got.StatusCode < 400 {
		if err := openapi3filter.ValidateRequest(request.Context(), input); err != nil {
			return fmt.Errorf("it was accepted: %w", err)
		}
	}
	return openapi3filter.ValidateResponse(request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.StatusCode, Header: got.Header, Body: io.NopCloser(bytes.NewReader([]byte(got.Body))), Options: options,
	})
}
