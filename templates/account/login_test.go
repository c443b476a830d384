package account_test

import (
	"strings"
	"testing"
	"time"

	"left4me/templates/account"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

// After a wrong password the form keeps the name and the next page, but not the password.
func TestLoginFormAfterAWrongPassword(t *testing.T) {
	v := account.LoginView{
		Frame: page.Frame{CSRF: "token", Now: time.Unix(0, 0)},
		Name:  `ni"ck`, Next: "/overlays/3?a=1&b=2", Error: "Wrong <password>.",
	}
	doc := pagetest.Page(t, pagetest.Render(t, account.Login(v)))
	form := doc.Find(`form[method="post"][action="/login"]`)
	if form.Length() != 1 {
		t.Fatal("no form posts to /login")
	}
	for name, want := range map[string]string{"name": v.Name, "next": v.Next, "csrf_token": "token", "password": ""} {
		if got := form.Find(`[name="`+name+`"]`).AttrOr("value", ""); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if got := pagetest.Text(doc, `[role="alert"]`); !strings.Contains(got, v.Error) {
		t.Errorf("the alert says %q", got)
	}
	first := pagetest.Page(t, pagetest.Render(t, account.Login(account.LoginView{Frame: v.Frame})))
	if first.Find(`[name="next"], .field-error`).Length() != 0 {
		t.Error("the first form complains, or leads somewhere")
	}
}
