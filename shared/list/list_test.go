package list_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/list"
	"left4me/shared/problem"
)

// letters is a list of two rows a page, of which a Where leaves out the deleted ones.
var letters = list.Source[string]{
	Columns: `upper(name)`, From: `letters`, Where: `NOT deleted AND name LIKE :text ESCAPE '\'`, Key: `id`,
	Order:  map[string]string{"": `id`, "name": `name`, "weight": `weight`},
	States: []string{"good", "bad"}, Size: 2, Counted: true, Scan: db.Value[string],
}

func TestPages(t *testing.T) { dbtest.Each(t, testPages) }

func testPages(t *testing.T, open dbtest.Backend) {
	d := open(t)
	for _, statement := range []string{
		`CREATE TABLE letters (id INTEGER PRIMARY KEY, name TEXT NOT NULL, weight INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0)`,
		`INSERT INTO letters (name, weight) VALUES ('c', 1), ('a', 2), ('e', 1), ('b', 2), ('d_%', 1)`,
		`INSERT INTO letters (name, weight, deleted) VALUES ('x', 0, 1)`,
	} {
		if _, err := d.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	uncounted := letters
	uncounted.Counted = false
	for _, c := range []struct {
		name  string
		of    list.Source[string]
		query list.Query
		rows  string
		place list.Place // without Query
		page  int
	}{
		{"the first", letters, list.Query{}, "C A", list.Place{Total: 5, Last: 3, More: true}, 1},
		{"the second", letters, list.Query{Page: 2}, "E B", list.Place{Total: 5, Last: 3, More: true}, 2},
		{"the last", letters, list.Query{Page: 3}, "D_%", list.Place{Total: 5, Last: 3}, 3},
		{"beyond the end", letters, list.Query{Page: 9}, "D_%", list.Place{Total: 5, Last: 3, Beyond: 9}, 3},
		{"sorted", letters, list.Query{Sort: "name"}, "A B", list.Place{Total: 5, Last: 3, More: true}, 1},
		{"reversed", letters, list.Query{Sort: "-name", Page: 2}, "C B", list.Place{Total: 5, Last: 3, More: true}, 2},
		{"equal rows keep their order", letters, list.Query{Sort: "-weight"}, "A B", list.Place{Total: 5, Last: 3, More: true}, 1},
		{"a text", letters, list.Query{Text: "B"}, "B", list.Place{Total: 1, Last: 1}, 1},
		{"a text with signs of LIKE", letters, list.Query{Text: "_%"}, "D_%", list.Place{Total: 1, Last: 1}, 1},
		{"a text that nothing has", letters, list.Query{Text: "x"}, "", list.Place{Last: 1}, 1},
		{"a text that nothing has, beyond the end", letters, list.Query{Text: "x", Page: 2}, "", list.Place{Last: 1, Beyond: 2}, 1},
		{"uncounted", uncounted, list.Query{Page: 2}, "E B", list.Place{More: true}, 2},
		{"uncounted, beyond the end", uncounted, list.Query{Page: 9}, "D_%", list.Place{Beyond: 9}, 3},
	} {
		page, err := c.of.Read(t.Context(), d, c.query, c.query.TextArg())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		c.place.Query = c.query
		c.place.Page = c.page
		if got := strings.Join(page.Rows, " "); got != c.rows || page.Place != c.place {
			t.Errorf("%s: %s, %+v, want %s, %+v", c.name, got, page.Place, c.rows, c.place)
		}
	}
}

func TestParse(t *testing.T) {
	for query, says := range map[string]string{
		"":                                  "",
		"q=&show=&sort=&page=":              "",
		"page=2&q=a+b&show=good&sort=-name": "",
		"show=ugly":                         "no rows in a state “ugly”",
		"sort=id":                           "cannot be sorted by “id”",
		"sort=-":                            "cannot be sorted by “-”",
		"sort=--name":                       "cannot be sorted by “--name”",
		"sort=name+DESC":                    "cannot be sorted by",
		"page=0":                            "“0” is not the number of a page",
		"page=-1":                           "not the number of a page",
		"page=two":                          "not the number of a page",
		"page=99999999999999999999":         "not the number of a page",
		"page=9223372036854775807":          "not the number of a page",
		"q=" + strings.Repeat("a", list.TextLength+1):    "at most 100 characters",
		"q=" + strings.Repeat("%C3%A4", list.TextLength): "",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = letters.Parse(values)
		switch p, ok := problem.As(err); {
		case says == "" && err != nil:
			t.Errorf("%s: %v", query, err)
		case says != "" && (!ok || p.Status != http.StatusBadRequest || !strings.Contains(p.Sentence, says)):
			t.Errorf("%s: %v, want 400 with %q", query, err, says)
		}
	}
}

// A list that may have millions of rows is not read to its end.
func TestUncountedListsAreShort(t *testing.T) {
	uncounted := letters
	uncounted.Counted = false
	if q, err := uncounted.Parse(url.Values{"page": {"1000"}}); err != nil || q.Page != 1000 {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := uncounted.Parse(url.Values{"page": {"1001"}}); err == nil || !strings.Contains(err.Error(), "Only the first 1000 pages of this list can be opened.") {
		t.Errorf("page 1001: %v", err)
	}
	d := dbtest.New(t)
	for _, statement := range []string{
		`CREATE TABLE letters (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'a', weight INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0)`,
		`INSERT INTO letters (id) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2001) SELECT i FROM n`,
	} {
		if _, err := d.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for number, more := range map[int]bool{999: true, 1000: false} {
		if page, err := uncounted.Read(t.Context(), d, list.Query{Page: number}, list.Query{}.TextArg()); err != nil || len(page.Rows) != 2 || page.More != more {
			t.Errorf("page %d: %d rows, more: %v, %v", number, len(page.Rows), page.More, err)
		}
	}
}

// What links say is what they lead to.
func TestLinks(t *testing.T) {
	q := list.Query{Text: "a b&c", State: "good", Sort: "name", Page: 3}
	for want, got := range map[string]list.Query{
		"/x": {},
		"/x?page=3&q=a+b%26c&show=good&sort=name": q,
		"/x?page=4&q=a+b%26c&show=good&sort=name": q.Turn(4),
		"/x?q=a+b%26c&show=good&sort=name":        q.Turn(1),
		"/x?q=a+b%26c&show=good&sort=-name":       q.Order("name"),
		"/x?q=a+b%26c&show=good&sort=weight":      q.Order("weight"),
		"/x?q=a+b%26c&sort=name":                  q.Limit(""),
	} {
		if link := got.URL("/x"); link != want {
			t.Errorf("%s, want %s", link, want)
		}
		back, err := letters.Parse(got.Values())
		if got.Page == 1 {
			got.Page = 0
		}
		if err != nil || back != got {
			t.Errorf("%s is read as %+v, %v", want, back, err)
		}
	}
	if sorts := []string{q.Order("name").Order("name").Sort, q.Order("weight").Order("weight").Sort}; !slices.Equal(sorts, []string{"name", "-weight"}) {
		t.Errorf("sorting twice: %v", sorts)
	}
}
