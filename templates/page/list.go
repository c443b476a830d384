package page

import (
	"strconv"

	"github.com/a-h/templ"

	"left4me/shared/list"
)

// List is a list of which a page shows a part. Its links and its search form lead to the same page; htmx replaces only the element ID,
// which is around the list with all that belongs to it.
type List struct {
	list.Place
	ID string
	// Path is that of the page that shows the list.
	Path string
	// One is the word for a row, and Many for several.
	One, Many string
	// States are those by which the list can be limited.
	States []string
}

// PlaceID is the element with hidden fields for what the page shows of the list, for hx-include.
const PlaceID = "place"

// few is the number of rows up to which nobody needs to search.
const few = 10

// limited is whether rows are left out because of their text or state.
func (l List) limited() bool { return l.Text != "" || l.State != "" }

func (l List) searchable() bool { return l.limited() || l.Total > few }

// count is the number of rows on all pages, such as `12 items`.
func (l List) count() string {
	noun := l.Many
	if l.Total == 1 {
		noun = l.One
	}
	return Number(l.Total) + " " + noun
}

// Sentence says for screen readers what the page shows.
func (l List) Sentence() string {
	if l.Last == 0 {
		return l.number()
	}
	return l.count() + ", " + l.number()
}

// number is the number of the page, such as `page 2 of 5`.
func (l List) number() string {
	text := "page " + strconv.Itoa(l.Page)
	if l.Last > 0 {
		text += " of " + strconv.Itoa(l.Last)
	}
	return text
}

// order is the value of aria-sort for a column; empty if the list is not sorted by it.
func (l List) order(column string) string {
	switch l.Sort {
	case column:
		return "ascending"
	case "-" + column:
		return "descending"
	}
	return ""
}

// turns makes htmx answer links and forms: it replaces the list, and adds the URL to the browser's history. show says where to scroll.
func (l List) turns(show string) templ.Attributes {
	return templ.Attributes{
		"hx-boost": "true", "hx-target": "#" + l.ID, "hx-select": "#" + l.ID, "hx-swap": "outerHTML show:" + show,
		"hx-select-oob": "#" + SayID + ":innerHTML,#" + TroubleID + ":innerHTML", "hx-sync": "main:replace",
	}
}
