package admin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/account"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/templates/admin"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

var frame = page.Frame{User: account.User{ID: 1, Name: "nick", Admin: true}, CSRF: "token", Now: time.Unix(1_790_000_000, 0)}

const hostile = `"><b>nick</b>`

// The pages link to each other and mark the current one.
func TestTabs(t *testing.T) {
	for title, html := range map[string]string{
		"Overview": pagetest.Render(t, admin.Home(admin.HomeView{Frame: frame})),
		"Jobs":     pagetest.Render(t, admin.Jobs(admin.JobsView{Frame: frame})),
		"Hosts":    pagetest.Render(t, admin.Hosts(admin.HostsView{Frame: frame})),
		"People":   pagetest.Render(t, admin.People(admin.PeopleView{Frame: frame})),
	} {
		doc := pagetest.Page(t, html)
		if n := doc.Find(".tabs a").Length(); n != 4 {
			t.Errorf("%s leads to %d pages", title, n)
		}
		if here := pagetest.Text(doc, `.tabs [aria-current="page"]`); here != title {
			t.Errorf("%s says that it is %q", title, here)
		}
		if section := pagetest.Text(doc, `.top [aria-current="page"]`); section != "Admin" {
			t.Errorf("%s is in the section %q", title, section)
		}
	}
}

// The links to further pages keep the filter by state.
func TestTheFilterStaysOnFurtherPages(t *testing.T) {
	doc := pagetest.Page(t, pagetest.Render(t, admin.Jobs(admin.JobsView{
		Frame: frame, Ended: list.Page[jobstore.Job]{
			Place: list.Place{Query: list.Query{State: "failed", Page: 2}, More: true},
			Rows:  []jobstore.Job{{ID: 7, Operation: "build_overlay", State: "failed"}},
		},
	})))
	var links []string
	doc.Find(".pages a").Each(func(_ int, a *goquery.Selection) { links = append(links, a.AttrOr("href", "")) })
	if want := []string{"/admin/jobs?show=failed", "/admin/jobs?page=3&show=failed"}; !slices.Equal(links, want) {
		t.Errorf("%v, want %v", links, want)
	}
	if here := pagetest.Text(doc, ".choice [aria-current]"); here != "failed" {
		t.Errorf("the page says that it shows %q", here)
	}
}

// Names are escaped, and each button's text for screen readers includes the person's name.
func TestAPersonsButtons(t *testing.T) {
	v := admin.PeopleView{Frame: frame, NewPasswordOf: hostile, NewPassword: "SECRET", People: pagetest.Listed(
		account.Person{User: account.User{ID: 4, Name: hostile}}, account.Person{User: account.User{ID: 5, Name: "zoey", Admin: true}, Disabled: true},
	)}
	doc := pagetest.Page(t, pagetest.Render(t, admin.People(v)))
	var shown []string
	doc.Find(".people tbody button, .people tbody a").Each(func(_ int, b *goquery.Selection) { shown = append(shown, strings.Join(strings.Fields(b.Text()), " ")) })
	want := []string{"Promote… " + hostile, "Disable… " + hostile, "New password… " + hostile, "Demote… zoey", "Enable zoey", "New password… zoey"}
	if !slices.Equal(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
	if doc.Find(`.people form[action="/admin/users/4"]`).Length() != 1 || pagetest.Text(doc, ".secret") != "SECRET" {
		t.Error("no form for the first person, or no password")
	}
}

// There are no buttons for changes that would be refused.
func TestTheLastAdministratorStays(t *testing.T) {
	v := admin.PeopleView{Frame: frame, People: pagetest.Listed(
		account.Person{User: account.User{ID: 1, Name: "nick", Admin: true}, Last: true},
		account.Person{User: account.User{ID: 2, Name: "zoey", Admin: true}, Disabled: true},
	)}
	buttons := func() int {
		return pagetest.Page(t, pagetest.Render(t, admin.People(v))).Find(`form[action="/admin/users/1"] button, form[action="/admin/users/1"] a`).Length()
	}
	if n := buttons(); n != 0 {
		t.Errorf("the last administrator has %d buttons", n)
	}
	v.People.Rows[0].Last = false
	if n := buttons(); n != 2 {
		t.Errorf("one of two administrators has %d buttons", n)
	}
}
