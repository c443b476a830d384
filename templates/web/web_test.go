package web_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/wake"
	"left4me/templates/fntest"
	"left4me/templates/web"
	"left4me/templates/webtest"
)

// answer returns a handler that answers that it was called.
func answer(*fn.Env) web.Handler {
	return web.HandlerFunc(func(w http.ResponseWriter, v *web.Request) error {
		_, err := w.Write([]byte("reached by " + v.User.Name))
		return err
	})
}

func failing(err error) func(*fn.Env) web.Handler {
	return func(*fn.Env) web.Handler {
		return web.HandlerFunc(func(http.ResponseWriter, *web.Request) error { return err })
	}
}

var (
	page      = route.Route{Name: "page", Method: "GET", Pattern: "/things/{id}", Who: route.SignedIn}
	form      = route.Route{Name: "form", Method: "POST", Pattern: "/things/{id}", Who: route.SignedIn, MaxBody: 1000}
	adminPage = route.Route{Name: "admin", Method: "GET", Pattern: "/things/{id}", Who: route.Administrator}
	anyForm   = route.Route{Name: "any", Method: "POST", Pattern: "/things/{id}", Who: route.Anyone, MaxBody: 1000}
)

var nobody account.User

func TestPermissions(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Person("root", true)
	for name, c := range map[string]struct {
		user   account.User
		route  route.Route
		status int
	}{
		"nobody, a page":                {nobody, page, http.StatusSeeOther},
		"nobody, a form":                {nobody, form, http.StatusUnauthorized},
		"nobody, what is for anyone":    {nobody, anyForm, http.StatusOK},
		"nobody, an administrator's":    {nobody, adminPage, http.StatusSeeOther},
		"somebody, a page":              {anna, page, http.StatusOK},
		"somebody, a form":              {anna, form, http.StatusOK},
		"somebody, an administrator's":  {anna, adminPage, http.StatusForbidden},
		"an administrator, their pages": {root, adminPage, http.StatusOK},
	} {
		v := s.Visitor(c.user, c.route, answer)
		ask := v.Get
		if c.route.Method == "POST" {
			ask = func(path string) webtest.Answer { return v.Post(path) }
		}
		if got := ask("/things/7"); got.StatusCode != c.status || (c.status == http.StatusOK) != strings.HasPrefix(got.Body, "reached") {
			t.Errorf("%s: %d, want %d", name, got.StatusCode, c.status)
		}
	}
}

// The subject of a request is read together with the session. People who may not see it learn nothing about it.
func TestAbout(t *testing.T) {
	s := fntest.New(t)
	anna, bert := s.Person("anna", false), s.Person("bert", false)
	finds := 0
	about := func(*fn.Env) web.Handler {
		find := func(_ context.Context, id int64) (string, error) {
			if finds++; id != 7 {
				return "", problem.NotFound("There is no thing %d.", id)
			}
			return "anna", nil
		}
		may := func(owner string, u account.User) error {
			if u.Name != owner {
				return problem.Forbidden("Not yours.")
			}
			return nil
		}
		return web.About(web.ByID(find), may, func(w http.ResponseWriter, r *web.Request, owner string) error {
			_, err := w.Write([]byte(owner + " reached by " + r.User.Name))
			return err
		})
	}
	for name, c := range map[string]struct {
		user   account.User
		path   string
		fields []string
		status int
		says   string
		finds  int
	}{
		"its owner":               {anna, "/things/7", nil, http.StatusOK, "anna reached by anna", 1},
		"somebody else":           {bert, "/things/7", nil, http.StatusForbidden, "Not yours.", 1},
		"no such thing":           {anna, "/things/8", nil, http.StatusNotFound, "There is no thing 8.", 1},
		"no id":                   {anna, "/things/x", nil, http.StatusNotFound, "There is no such page.", 0},
		"without a session":       {nobody, "/things/8", nil, http.StatusUnauthorized, "Your session has ended.", 0},
		"with a token that is no": {anna, "/things/8", []string{"csrf_token", "x"}, http.StatusForbidden, "This form is too old", 0},
	} {
		finds = 0
		got := s.Visitor(c.user, form, about).Post(c.path, c.fields...)
		if got.StatusCode != c.status || !strings.Contains(got.Body, c.says) || finds != c.finds {
			t.Errorf("%s: %d after %d reads, want %d after %d: %s", name, got.StatusCode, finds, c.status, c.finds, got.Body)
		}
	}
	if got := s.Visitor(anna, anyForm, about).Post("/things/7"); got.StatusCode != http.StatusInternalServerError || strings.Contains(got.Body, "reached") {
		t.Errorf("a route for anyone: %d %s", got.StatusCode, got.Body)
	}
}

func TestAPageLeadsToTheSignInFormAndBack(t *testing.T) {
	s := fntest.New(t)
	got := s.Visitor(nobody, page, answer).Get("/things/7?tab=a%26b")
	if want := "/login?next=%2Fthings%2F7%3Ftab%3Da%2526b"; got.Header.Get("Location") != want {
		t.Errorf("to %q, want %q", got.Header.Get("Location"), want)
	}
	fragment := s.Visitor(nobody, page, answer).Htmx().Get("/things/7")
	if fragment.StatusCode != http.StatusUnauthorized || fragment.Header.Get("HX-Redirect") != "" || !strings.Contains(fragment.Body, `target="_blank"`) {
		t.Errorf("a fragment: %d, HX-Redirect %q, %s", fragment.StatusCode, fragment.Header.Get("HX-Redirect"), fragment.Body)
	}
}

// A form that is refused because of its session or its token comes back with what was typed, unless another site may have sent it.
func TestARefusedFormKeepsWhatWasTyped(t *testing.T) {
	const text = "first line\n<second> line"
	typing := form
	typing.Typed = "text"
	s := fntest.New(t)
	anna := s.Person("anna", false)
	ours := http.Header{"Sec-Fetch-Site": {"same-origin"}}
	for name, c := range map[string]struct {
		user   account.User
		route  route.Route
		header http.Header
		fields []string
		status int
		kept   bool
	}{
		"no session":                   {nobody, typing, ours, []string{"text", text, "mode", "auto"}, http.StatusUnauthorized, true},
		"no session, by origin":        {nobody, typing, http.Header{"Origin": {"http://127.0.0.1:8080"}}, []string{"text", text, "mode", "auto"}, http.StatusUnauthorized, true},
		"an old token":                 {anna, typing, ours, []string{"text", text, "mode", "auto", "csrf_token", "old"}, http.StatusForbidden, true},
		"from another site":            {nobody, typing, http.Header{"Sec-Fetch-Site": {"cross-site"}}, []string{"text", text}, http.StatusUnauthorized, false},
		"from who knows where":         {nobody, typing, nil, []string{"text", text}, http.StatusUnauthorized, false},
		"an old token, who knows":      {anna, typing, nil, []string{"text", text, "csrf_token", "old"}, http.StatusForbidden, false},
		"nothing typed":                {nobody, typing, ours, []string{"mode", "auto"}, http.StatusUnauthorized, false},
		"a route without typed text":   {nobody, form, ours, []string{"text", text}, http.StatusUnauthorized, false},
		"more than the route can take": {nobody, typing, ours, []string{"text", strings.Repeat("x", 2000)}, http.StatusUnauthorized, false},
	} {
		v := s.Visitor(c.user, c.route, answer)
		got := v.PostWith(c.header, "/things/7", c.fields...)
		again := got.Page().Find(`form[method=post][action="/things/7"]`)
		if got.StatusCode != c.status || (again.Length() == 1) != c.kept {
			t.Errorf("%s: %d, %s", name, got.StatusCode, got.Page().Find("main").Text())
		}
		if !c.kept {
			continue
		}
		if typed := again.Find("textarea[name=text]").Text(); typed != text {
			t.Errorf("%s: the page keeps %q", name, typed)
		}
		if mode, tokens := again.Find("input[type=hidden][name=mode]").AttrOr("value", ""), again.Find("[name=csrf_token]").Length(); mode != "auto" || tokens != 1 {
			t.Errorf("%s: mode %q, %d tokens", name, mode, tokens)
		}
		if c.user == anna {
			sent := v.PostWith(ours, "/things/7", "text", text, "csrf_token", again.Find("[name=csrf_token]").AttrOr("value", ""))
			if sent.StatusCode != http.StatusOK {
				t.Errorf("%s: sent again: %d", name, sent.StatusCode)
			}
		}
	}
}

func TestSafeNext(t *testing.T) {
	for next, want := range map[string]string{
		"/overlays/7?x=1": "/overlays/7?x=1",
		"":                "",
		"overlays":        "",
		"//evil.example":  "",
		"/\\evil.example": "",
		"https://evil":    "",
		"/\nx":            "",
		"javascript:x":    "",
	} {
		if got := web.SafeNext(next); got != want {
			t.Errorf("SafeNext(%q) = %q, want %q", next, got, want)
		}
	}
}

func TestFormsNeedTheirToken(t *testing.T) {
	s := fntest.New(t)
	anna, bert := s.Person("anna", false), s.Person("bert", false)
	v := s.Visitor(anna, form, answer)
	berts := s.Visitor(bert, form, answer)
	own := v.Token()
	for name, c := range map[string]struct {
		header http.Header
		fields []string
		status int
	}{
		"none":                  {nil, nil, http.StatusForbidden},
		"an empty one":          {nil, []string{"csrf_token", ""}, http.StatusForbidden},
		"somebody else's":       {nil, []string{"csrf_token", berts.Token()}, http.StatusForbidden},
		"with another salt":     {nil, []string{"csrf_token", "x" + own}, http.StatusForbidden},
		"as a field":            {nil, []string{"csrf_token", own}, http.StatusOK},
		"as a header":           {http.Header{"X-Csrf-Token": {own}}, nil, http.StatusOK},
		"from another origin":   {http.Header{"Origin": {"https://evil.example"}}, []string{"csrf_token", own}, http.StatusForbidden},
		"from another site":     {http.Header{"Sec-Fetch-Site": {"cross-site"}}, []string{"csrf_token", own}, http.StatusForbidden},
		"from our own":          {http.Header{"Sec-Fetch-Site": {"same-origin"}}, []string{"csrf_token", own}, http.StatusOK},
		"from our own, by name": {http.Header{"Origin": {"http://127.0.0.1:8080"}}, []string{"csrf_token", own}, http.StatusOK},
	} {
		if got := v.PostWith(c.header, "/things/7", c.fields...); got.StatusCode != c.status {
			t.Errorf("token: %s: %d, want %d", name, got.StatusCode, c.status)
		}
	}
	// Another answer has another token (see lambdahttp about compression), and both are good.
	if v.PostWith(nil, "/things/7"); v.Token() == own {
		t.Error("two answers have the same token")
	}
	for _, token := range []string{own, v.Token()} {
		if got := v.PostWith(nil, "/things/7", "csrf_token", token); got.StatusCode != http.StatusOK {
			t.Errorf("one of two tokens: %d", got.StatusCode)
		}
	}
	// Visitors without a session have a token, too.
	if got := s.Visitor(nobody, anyForm, answer).PostWith(nil, "/things/7"); got.StatusCode != http.StatusForbidden {
		t.Errorf("a form for anyone without a token: %d", got.StatusCode)
	}
}

func TestAnErrorPageKeepsTheCSRFToken(t *testing.T) {
	s := fntest.New(t)
	for who, v := range map[string]*webtest.Visitor{
		"somebody": s.Visitor(s.Person("anna", false), form, answer),
		"nobody":   s.Visitor(nobody, anyForm, answer), // who has got one with an earlier page
	} {
		for _, path := range []string{"/elsewhere", "/things/7"} {
			if got := v.PostWith(nil, path); got.StatusCode < http.StatusBadRequest || len(got.Cookies()) != 0 {
				t.Errorf("%s: %s: %d, with %v", who, path, got.StatusCode, got.Cookies())
			}
		}
		if got := v.Post("/things/7"); got.StatusCode != http.StatusOK {
			t.Errorf("%s: a form of before the errors: %d", who, got.StatusCode)
		}
	}
}

func TestErrorsBecomePages(t *testing.T) {
	secret := errors.New("SELECT secret FROM users: disk I/O error")
	for name, c := range map[string]struct {
		err    error
		status int
		says   string
	}{
		"a problem":        {problem.Conflict("That name is taken."), http.StatusConflict, "That name is taken."},
		"one with a cause": {problem.Upstream(secret, "Steam is away."), http.StatusBadGateway, "Steam is away."},
		"one to wait for":  {problem.TooMany(1500e6, "Please wait."), http.StatusTooManyRequests, "Please wait."},
		"a fault of ours":  {secret, http.StatusInternalServerError, "fault of left4me"},
		"a full disk":      {errors.New("INSERT INTO sessions: SELECT: database or disk is full (13)"), http.StatusServiceUnavailable, "is full. Please make room"},
		"no write access":  {errors.New("SELECT: attempt to write a readonly database (8)"), http.StatusServiceUnavailable, "can only be read"},
		"a locked file":    {errors.New("SELECT: database is locked (5) (SQLITE_BUSY)"), http.StatusServiceUnavailable, "is busy"},
		"in doubt":         {fmt.Errorf("SELECT: %w: database is locked (5)", db.ErrInDoubt), http.StatusServiceUnavailable, "so look first"},
		"an upgrade":       {errors.New("SELECT subject_id FROM jobs: no such column: subject_id"), http.StatusServiceUnavailable, "being updated"},
	} {
		s := fntest.New(t)
		anna := s.Person("anna", false)
		whole := s.Visitor(anna, page, failing(c.err)).Get("/things/7")
		part := s.Visitor(anna, page, failing(c.err)).Htmx().Get("/things/7")
		for kind, got := range map[string]webtest.Answer{"page": whole, "fragment": part} {
			if got.StatusCode != c.status || !strings.Contains(got.Body, c.says) || strings.Contains(got.Body, "SELECT") {
				t.Errorf("%s as a %s: %d %s", name, kind, got.StatusCode, got.Body)
			}
		}
		if strings.Contains(part.Body, "<html") || !strings.Contains(whole.Body, "<html") {
			t.Errorf("%s: page and fragment are mixed up", name)
		}
		if c.status == http.StatusServiceUnavailable && whole.Header.Get("Retry-After") != "5" {
			t.Errorf("%s: Retry-After %q", name, whole.Header.Get("Retry-After"))
		}
		if c.status == http.StatusTooManyRequests && whole.Header.Get("Retry-After") != "2" {
			t.Errorf("Retry-After %q", whole.Header.Get("Retry-After"))
		}
	}
}

// CloudFront shows a page of its own instead of an answer with 502 or 504.
func TestBehindCloudFrontAStatusMeansThatLeft4meAnswers(t *testing.T) {
	const secret = "a secret of the origin"
	s := fntest.New(t, "ORIGIN_SECRET", secret)
	anna := s.Person("anna", false)
	for says, c := range map[string]struct {
		err    error
		status int
	}{
		"Steam is away.":     {problem.Upstream(errors.New("refused"), "Steam is away."), http.StatusServiceUnavailable},
		"That took too long": {context.DeadlineExceeded, http.StatusServiceUnavailable},
		"That is taken.":     {problem.Conflict("That is taken."), http.StatusConflict},
		"fault of left4me":   {errors.New("broken"), http.StatusInternalServerError},
	} {
		got := s.Visitor(anna, page, failing(c.err)).GetWith(http.Header{route.OriginSecretHeader: {secret}}, "/things/7")
		if got.StatusCode != c.status || !strings.Contains(got.Text("#error"), says) {
			t.Errorf("%v: %d %s, want %d with %q", c.err, got.StatusCode, got.Text("#error"), c.status, says)
		}
	}
}

func TestLimitsAndOddPathsGetPages(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	if got := s.Visitor(anna, form, answer).Post("/things/7", "text", strings.Repeat("x", 1001)); got.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too large a form: %d", got.StatusCode)
	}
	if got := s.Visitor(anna, page, answer).Get("/elsewhere"); got.StatusCode != http.StatusNotFound || !strings.Contains(got.Body, "<html") {
		t.Errorf("a path of another route: %d", got.StatusCode)
	}
	byID := func(*fn.Env) web.Handler {
		return web.HandlerFunc(func(_ http.ResponseWriter, v *web.Request) error {
			_, err := v.ID("id")
			return err
		})
	}
	for path, want := range map[string]int{"/things/7": 200, "/things/x": 404, "/things/-1": 404, "/things/0": 404, "/things/99999999999999999999": 404} {
		if got := s.Visitor(anna, page, byID).Get(path); got.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, want)
		}
	}
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	s := fntest.New(t, "STEAM_CDN_HOSTS", "127.0.0.1:99")
	for kind, got := range map[string]webtest.Answer{
		"a page":   s.Visitor(s.Person("anna", false), page, answer).Get("/things/7"),
		"an error": s.Visitor(nobody, page, answer).Get("/elsewhere"),
	} {
		csp := got.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "http://127.0.0.1:99"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy lacks %s: %s", kind, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", kind, got.Header)
		}
	}
}

func TestCookies(t *testing.T) {
	for public, secure := range map[string]bool{"http://127.0.0.1:8080": false, "https://left4me.example.org": true} {
		s := fntest.New(t, "PUBLIC_URL", public)
		leave := func(*fn.Env) web.Handler {
			return web.HandlerFunc(func(w http.ResponseWriter, v *web.Request) error {
				v.StartSession(w, account.Tokens{Session: "token", Device: "device"})
				return v.Redirect(w, "/overlays", "Saved “it”; done.")
			})
		}
		got := s.Visitor(s.Person("anna", false), page, leave).Get("/things/7")
		for _, c := range got.Cookies() {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != secure || strings.HasPrefix(c.Name, "__Host-") != secure {
				t.Errorf("%s: cookie %s", public, c)
			}
		}
		if len(got.Cookies()) < 2 || got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/overlays" {
			t.Errorf("%s: %d to %q with %v", public, got.StatusCode, got.Header.Get("Location"), got.Cookies())
		}
	}
}

func TestANoticeIsShownOnce(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	r := route.Route{Name: "both", Method: "GET", Pattern: "/things/{id}", Who: route.SignedIn}
	v := s.Visitor(anna, r, func(*fn.Env) web.Handler {
		return web.HandlerFunc(func(w http.ResponseWriter, v *web.Request) error {
			if v.PathValue("id") == "1" {
				return v.Redirect(w, "/things/2", "Saved “it”; done.")
			}
			_, err := w.Write([]byte(v.Frame(w).Notice))
			return err
		})
	})
	v.Get("/things/1")
	if got := v.Get("/things/2"); got.Body != "Saved “it”; done." {
		t.Errorf("the next page says %q", got.Body)
	}
	if got := v.Get("/things/2"); got.Body != "" {
		t.Errorf("the page after it still says %q", got.Body)
	}
}

func TestWithAnOriginSecretOnlyCloudFrontIsAnswered(t *testing.T) {
	const secret, previous = "a secret of the origin", "the secret before that"
	address := func(*fn.Env) web.Handler {
		return web.HandlerFunc(func(w http.ResponseWriter, v *web.Request) error {
			_, err := w.Write([]byte(v.Client().Address))
			return err
		})
	}
	anyPage := route.Route{Name: "any", Method: "GET", Pattern: "/things/{id}", Who: route.Anyone}
	var log strings.Builder
	site := fntest.New(t, "ORIGIN_SECRET", secret)
	site.Env.Log = slog.New(slog.NewTextHandler(&log, nil))
	behind := site.Visitor(nobody, anyPage, address)
	changing := fntest.New(t, "ORIGIN_SECRET", secret, "ORIGIN_SECRET_PREVIOUS", previous).Visitor(nobody, anyPage, address)
	alone := fntest.New(t).Visitor(nobody, anyPage, address)
	for name, c := range map[string]struct {
		visitor        *webtest.Visitor
		secret, viewer string
		status         int
		address        string
	}{
		"without it":             {behind, "", "198.51.100.7:443", http.StatusForbidden, "Forbidden\n"},
		"with another":           {behind, secret + "x", "198.51.100.7:443", http.StatusForbidden, "Forbidden\n"},
		"with it":                {behind, secret, "198.51.100.7:443", http.StatusOK, "198.51.100.7"},
		"with the previous one":  {changing, previous, "198.51.100.7:443", http.StatusOK, "198.51.100.7"},
		"with the new one":       {changing, secret, "198.51.100.7:443", http.StatusOK, "198.51.100.7"},
		"with neither":           {changing, "", "198.51.100.7:443", http.StatusForbidden, "Forbidden\n"},
		"with an outdated one":   {behind, previous, "198.51.100.7:443", http.StatusForbidden, "Forbidden\n"},
		"over IPv6":              {behind, secret, "2001:db8::7:443", http.StatusOK, "2001:db8::7"},
		"over bracketed IPv6":    {behind, secret, "[2001:db8::7]:443", http.StatusOK, "2001:db8::7"},
		"nothing of the visitor": {behind, secret, "", http.StatusOK, "192.0.2.1"},
		"on a host alone":        {alone, "", "198.51.100.7:443", http.StatusOK, "192.0.2.1"},
	} {
		got := c.visitor.GetWith(http.Header{route.OriginSecretHeader: {c.secret}, http.CanonicalHeaderKey(route.ViewerAddressHeader): {c.viewer}}, "/things/7")
		if got.StatusCode != c.status || got.Body != c.address {
			t.Errorf("%s: %d %q, want %d %q", name, got.StatusCode, got.Body, c.status, c.address)
		}
	}
	if log.Len() > 0 {
		t.Errorf("everybody may call a function's own URL, and that fills the log: %s", log.String())
	}
}

func TestAFormThatEnqueuesAJobWakesTheAgent(t *testing.T) {
	s := fntest.New(t)
	agent, err := wake.Listen(s.Env.Settings.WakeSocket())
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	got := s.Visitor(s.Person("root", true), form, func(env *fn.Env) web.Handler {
		return web.Enqueue(env, job.RefreshWorkshopItems)
	}).Post("/things/1")
	if got.StatusCode != http.StatusSeeOther {
		t.Errorf("%d", got.StatusCode)
	}
	if woken, err := agent.Wait(t.Context(), time.Minute); err != nil || !woken {
		t.Errorf("the agent was not woken: %v", err)
	}
}

type thing struct {
	Name string
}

// A program gets the view, not the page; what a page would say within itself is an error, and what it leads to is in the answer.
func TestJSON(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	shows := func(*fn.Env) web.Handler {
		return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
			r.Frame(w)
			return web.Render(w, r, http.StatusOK, thing{"a lamp"}, func(v thing) templ.Component { return templ.Raw("<p>" + v.Name) })
		})
	}
	refuses := func(*fn.Env) web.Handler {
		return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
			err := problem.TooMany(time.Second, "Not again.")
			if p, ok := r.Problem(w, err); ok {
				return web.Render(w, r, p.Status, thing{p.Sentence}, func(v thing) templ.Component { return templ.Raw("<p>" + v.Name) })
			}
			return err
		})
	}
	leads := func(path string) func(*fn.Env) web.Handler {
		return func(*fn.Env) web.Handler {
			return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error { return r.Redirect(w, path, "It is done.") })
		}
	}
	for name, c := range map[string]struct {
		user           account.User
		route          route.Route
		handler        func(*fn.Env) web.Handler
		status         int
		body, location string
	}{
		"a view":           {anna, page, shows, 200, `{"name":"a lamp"}`, ""},
		"a refused form":   {anna, form, refuses, 429, `{"detail":"Not again.","request_id":"","status":429,"title":"Too Many Requests"}`, ""},
		"a changed thing":  {anna, form, leads("/things"), 200, `{"location":"/things","message":"It is done."}`, ""},
		"a new thing":      {anna, form, leads("/things/7/8"), 201, `{"location":"/things/7/8","message":"It is done."}`, "/things/7/8"},
		"a job":            {anna, form, leads("/jobs/9"), 202, `{"location":"/jobs/9","message":"It is done."}`, "/jobs/9"},
		"a fault":          {anna, page, failing(errors.New("x")), 500, `"title":"Internal Server Error"`, ""},
		"nobody":           {nobody, page, shows, 401, `"detail":"You are not signed in. Nothing was changed."`, ""},
		"no administrator": {anna, adminPage, shows, 403, `"title":"Forbidden"`, ""},
	} {
		v := s.Visitor(c.user, c.route, c.handler)
		v.Header.Set("Accept", "application/json")
		ask := v.Get
		if c.route.Method == "POST" {
			ask = func(path string) webtest.Answer { return v.Post(path) }
		}
		got := ask("/things/7")
		wantType := "application/json"
		if c.status >= 400 {
			wantType = "application/problem+json"
		}
		if got.StatusCode != c.status || !strings.Contains(got.Body, c.body) || got.Location() != c.location || got.Header.Get("Content-Type") != wantType {
			t.Errorf("%s: %d to %q, %s: %s", name, got.StatusCode, got.Location(), got.Header.Get("Content-Type"), got.Body)
		}
		if c.status < 400 && len(got.Cookies()) > 0 {
			t.Errorf("%s: a program gets the cookies %v", name, got.Cookies())
		}
		if wait := got.Header.Get("Retry-After"); c.status == 429 && wait != "1" {
			t.Errorf("%s: Retry-After %q", name, wait)
		}
	}
	if got := s.Visitor(anna, page, shows).Get("/things/7"); !strings.Contains(got.Body, "<p>a lamp") {
		t.Errorf("a browser gets %s", got.Body)
	}
}

func TestTokensOfPrograms(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	accounts := account.NewStore(s.Env.DB, s.Env.Now)
	make := func(writes bool) string {
		token, err := accounts.CreateToken(t.Context(), anna, "a program", 1, writes)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	reads, writes := make(false), make(true)
	sessionForm := form
	sessionForm.SessionOnly = true
	for name, c := range map[string]struct {
		header http.Header
		route  route.Route
		status int
		says   string
	}{
		"a page":                            {http.Header{"Authorization": {"Bearer " + reads}}, page, 200, "reached by anna"},
		"a scheme in small letters":         {http.Header{"Authorization": {"bearer  " + reads}}, page, 200, "reached by anna"},
		"a form, with a token for reading":  {http.Header{"Authorization": {"Bearer " + reads}}, form, 403, "only for reading"},
		"a form":                            {http.Header{"Authorization": {"Bearer " + writes}}, form, 200, "reached by anna"},
		"a form, from somewhere":            {http.Header{"Authorization": {"Bearer " + writes}, "Origin": {"https://else.example"}}, form, 200, "reached by anna"},
		"an administrator's page":           {http.Header{"Authorization": {"Bearer " + writes}}, adminPage, 403, "Only administrators"},
		"a form about signing in":           {http.Header{"Authorization": {"Bearer " + writes}}, sessionForm, 403, "This needs a browser"},
		"a form for anyone needs its token": {http.Header{"Authorization": {"Bearer " + writes}}, anyForm, 403, "too old"},
		"a wrong token":                     {http.Header{"Authorization": {"Bearer l4m_x"}}, page, 401, "not valid"},
		"a wrong token, and a form":         {http.Header{"Authorization": {"Bearer l4m_x"}}, form, 401, "not valid"},
		"no token":                          {http.Header{"Authorization": {"Bearer"}}, form, 401, "not signed in"},
		"a password":                        {http.Header{"Authorization": {"Basic " + writes}}, form, 401, "not signed in"},
	} {
		v := s.Visitor(nobody, c.route, answer)
		c.header.Set("Accept", "application/json")
		got, err := v.Ask(c.route.Method, "/things/7", url.Values{"name": {"x"}}, c.header)
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode != c.status || !strings.Contains(got.Body, c.says) {
			t.Errorf("%s: %d, want %d: %s", name, got.StatusCode, c.status, got.Body)
		}
	}
	// A token that is wrong is not replaced by the session of a browser, whose forms would then need no csrf_token.
	v := s.Visitor(anna, form, answer)
	if got := v.PostWith(http.Header{"Authorization": {"Bearer x"}}, "/things/7"); got.StatusCode != 401 {
		t.Errorf("a wrong token with a session: %d", got.StatusCode)
	}
	if n := s.Count(`SELECT COUNT(*) FROM api_tokens WHERE last_used_at > 0`); n != 2 {
		t.Errorf("%d tokens were used", n)
	}
}
