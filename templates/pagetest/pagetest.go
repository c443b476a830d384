// Package pagetest checks the rules for every page and fragment of left4me: tests of views and functions give it HTML and get a
// document back.
//
// It checks markup only. What needs a browser (contrast, width, the security policy) is checked with templates/browsertest.
package pagetest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"

	"left4me/shared/list"
	"left4me/shared/route"
)

// Render returns the HTML of a component.
func Render(t testing.TB, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatalf("render: %v", err)
	}
	return b.String()
}

// Page parses a whole page and reports every rule that it breaks.
func Page(t testing.TB, html string) *goquery.Document {
	t.Helper()
	doc := parse(t, html)
	for _, p := range append(pageProblems(doc), problems(doc, true)...) {
		t.Error(p)
	}
	return doc
}

// Fragment parses the answer to an htmx request and reports every rule that it breaks.
func Fragment(t testing.TB, html string) *goquery.Document {
	t.Helper()
	doc := parse(t, html)
	if strings.Contains(html, "<html") {
		t.Error("a fragment is a whole page")
	}
	for _, p := range problems(doc, false) {
		t.Error(p)
	}
	return doc
}

// Text returns the text of the elements that selector finds, with white space collapsed.
func Text(doc *goquery.Document, selector string) string {
	return strings.Join(strings.Fields(doc.Find(selector).Text()), " ")
}

func parse(t testing.TB, html string) *goquery.Document {
	t.Helper()
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(html))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return doc
}

func pageProblems(doc *goquery.Document) (found []string) {
	if n := doc.Find("h1").Length(); n != 1 {
		found = append(found, fmt.Sprintf("a page needs one h1, this has %d", n))
	}
	if strings.TrimSpace(doc.Find("title").Text()) == "" {
		found = append(found, "the page has no title")
	}
	if doc.Find("html[lang]").Length() != 1 || doc.Find("main").Length() != 1 {
		found = append(found, "a page needs its language and one main element")
	}
	return found
}

// links maps each attribute that holds a URL to its HTTP method; the method of an action is that of its form.
var links = map[string]string{"href": "GET", "src": "GET", "action": "", "formaction": "", "hx-get": "GET", "hx-post": "POST"}

func problems(doc *goquery.Document, whole bool) (found []string) {
	add := func(s *goquery.Selection, what string) {
		html, err := goquery.OuterHtml(s)
		if err != nil {
			html = err.Error()
		}
		found = append(found, what+": "+html[:min(len(html), 200)])
	}
	ids := map[string]bool{}
	doc.Find("[id]").Each(func(_ int, s *goquery.Selection) {
		id := s.AttrOr("id", "")
		if ids[id] {
			add(s, "two elements have this id")
		}
		ids[id] = true
	})

	doc.Find("*").Each(func(_ int, s *goquery.Selection) {
		for _, a := range s.Nodes[0].Attr {
			name := strings.ToLower(a.Key)
			switch {
			case name == "style", strings.HasPrefix(name, "on"), strings.HasPrefix(name, "hx-on"), name == "hx-vals" && strings.HasPrefix(a.Val, "js:"):
				add(s, "the security policy forbids the attribute "+name)
			case name == "for", name == "aria-describedby", name == "aria-labelledby":
				for _, id := range strings.Fields(a.Val) {
					if whole && !ids[id] {
						add(s, "nothing has the id "+id)
					}
				}
			}
		}
	})
	eachLink(doc, func(s *goquery.Selection, method, link string) {
		if why := badLink(method, link); why != "" {
			add(s, why)
		}
	})
	doc.Find("style").Each(func(_ int, s *goquery.Selection) { add(s, "the security policy forbids inline style") })
	doc.Find("script").Each(func(_ int, s *goquery.Selection) {
		if s.AttrOr("src", "") == "" || s.Text() != "" {
			add(s, "the security policy forbids inline script")
		}
	})

	doc.Find("form").Each(func(_ int, s *goquery.Selection) {
		if strings.EqualFold(s.AttrOr("method", ""), "post") && s.Find(`input[type="hidden"][name="csrf_token"]`).AttrOr("value", "") == "" {
			add(s, "a form that posts needs csrf_token")
		}
	})
	doc.Find("input, select, textarea, progress").Each(func(_ int, s *goquery.Selection) {
		if s.AttrOr("type", "") == "hidden" {
			return
		}
		// A fragment may replace a field whose label stays on the page.
		if whole && strings.TrimSpace(doc.Find(`label[for="`+s.AttrOr("id", "")+`"]`).Text()) == "" {
			add(s, "nothing labels this field")
		}
	})
	doc.Find("button, a").Each(func(_ int, s *goquery.Selection) {
		if strings.TrimSpace(s.Text()) == "" {
			add(s, "nothing says what this does")
		}
	})
	doc.Find("img").Each(func(_ int, s *goquery.Selection) {
		if _, has := s.Attr("alt"); !has || s.AttrOr("width", "") == "" || s.AttrOr("height", "") == "" {
			add(s, "a picture needs alt, width and height")
		}
	})
	return found
}

// eachLink calls do for each URL of a document, with the HTTP method of its request.
func eachLink(doc *goquery.Document, do func(s *goquery.Selection, method, link string)) {
	doc.Find("*").Each(func(_ int, s *goquery.Selection) {
		for _, a := range s.Nodes[0].Attr {
			method, leads := links[strings.ToLower(a.Key)]
			if leads && method == "" {
				method = strings.ToUpper(s.Closest("form").AttrOr("method", "get"))
			}
			if leads {
				do(s, method, a.Val)
			}
		}
	})
}

// Routes returns the method and the pattern of each route that the document leads to.
func Routes(doc *goquery.Document) map[string]bool {
	found := map[string]bool{}
	eachLink(doc, func(_ *goquery.Selection, method, link string) {
		if u, err := url.Parse(link); err == nil && u.Host == "" {
			_, pattern := routes().Handler(httptest.NewRequest(method, u.RequestURI(), nil))
			found[pattern] = true
		}
	})
	return found
}

// badLink returns what is wrong with a link. A path of left4me must be that of a route.
func badLink(method, link string) string {
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return "a URL that cannot be parsed"
	case u.Scheme == "http" || u.Scheme == "https", u.Scheme == "steam" && u.Host == "connect":
		return ""
	case u.Scheme != "" || u.Host != "":
		return "a URL with the scheme " + u.Scheme
	case u.Path == "" && u.Fragment != "":
		return ""
	}
	if _, pattern := routes().Handler(httptest.NewRequest(method, u.RequestURI(), nil)); pattern == "" {
		return "no route answers " + method + " " + u.Path
	}
	return ""
}

func routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range route.All() {
		mux.Handle(r.Method+" "+r.Pattern, http.NotFoundHandler())
	}
	return mux
}

// Listed is the only page of a list with these rows.
func Listed[T any](rows ...T) list.Page[T] {
	return list.Page[T]{Rows: rows, Place: list.Place{Query: list.Query{Page: 1}, Total: len(rows), Last: 1}}
}
