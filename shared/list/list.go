// Package list owns what somebody asks to see of a list that may be long: which of its rows, in which order, and which page of
// them. What the rows are belongs to the nouns: each list has a Source.
package list

import (
	"context"
	"database/sql"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"left4me/shared/db"
	"left4me/shared/problem"
)

// Query is what somebody asks to see of a list. The zero Query is the first page of all rows in the list's own order.
type Query struct {
	// Text is what rows must contain, and State the state that they must be in; empty: any.
	Text, State string
	// Sort is the name of the column that orders the rows, with a minus before it for the reverse; empty: the list's own order.
	Sort string
	// Page is the number of the page. The first is 1, or 0.
	Page int
}

// Parameters of a URL or a form that hold a Query.
const (
	TextParam  = "q"
	StateParam = "show"
	SortParam  = "sort"
	PageParam  = "page"
)

const (
	// TextLength is the longest Text, in characters.
	TextLength = 100
	maxPage    = 1_000_000_000
	// maxUncounted is the number of pages of a list that is not Counted, because the database reads what is before a page.
	maxUncounted = 1000
)

// Values returns the parameters of q that are not the zero Query's.
func (q Query) Values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set(TextParam, q.Text)
	set(StateParam, q.State)
	set(SortParam, q.Sort)
	if q.Page > 1 {
		set(PageParam, strconv.Itoa(q.Page))
	}
	return v
}

// URL returns the URL of the list at path, as q asks for it.
func (q Query) URL(path string) string {
	if v := q.Values(); len(v) > 0 {
		return path + "?" + v.Encode()
	}
	return path
}

// Turn returns q for another page.
func (q Query) Turn(page int) Query {
	q.Page = page
	return q
}

// Limit returns q for the rows in a state, from the first page on.
func (q Query) Limit(state string) Query {
	q.State, q.Page = state, 0
	return q
}

// Order returns q in the order of a column, from the first page on: in reverse if that is the order of q already.
func (q Query) Order(column string) Query {
	if q.Sort == column {
		column = "-" + column
	}
	q.Sort, q.Page = column, 0
	return q
}

var escapeLike = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// TextArg is the parameter :text, for `LIKE :text ESCAPE '\'`. Upper and lower case are the same for Latin letters.
func (q Query) TextArg() sql.NamedArg { return sql.Named("text", "%"+escapeLike.Replace(q.Text)+"%") }

// StateArg is the parameter :state.
func (q Query) StateArg() sql.NamedArg { return sql.Named("state", q.State) }

// Place says which part of a list a page is.
type Place struct {
	// Query is what was asked for, with the number of this page.
	Query
	// Total is the number of rows on all pages, and Last the number of the last page; both are zero if the list is not Counted.
	Total, Last int
	// More is whether a page follows.
	More bool
	// Beyond is the number that was asked for if there is no such page, and the last page is shown instead.
	Beyond int
}

// Page is one page of a list.
type Page[T any] struct {
	Place
	Rows []T
}

// Source is a list in the database.
type Source[T any] struct {
	// Columns, From and Where are clauses of the SELECT of all rows. Where may be empty.
	Columns, From, Where string
	// Key is a column that identifies a row of From.
	Key string
	// Order has an expression for each column that the list can be sorted by, under the column's name. The list's own order has the
	// name ""; it must not leave open which of two rows comes first.
	Order map[string]string
	// States are the values of Query.State.
	States []string
	// Size is the number of rows on a page.
	Size int
	// Counted is whether to count the rows of all pages, which reads them. A list that is not counted has at most 1,000 pages.
	Counted bool
	Scan    func(db.Scanner) (T, error)
}

// Parse returns the query in the parameters of a URL or a form. The error is a problem (400): the list has no such state or
// column, the text is too long, or the page is not a number.
func (s Source[T]) Parse(v url.Values) (Query, error) {
	q := Query{Text: strings.ToValidUTF8(strings.TrimSpace(v.Get(TextParam)), ""), State: v.Get(StateParam), Sort: v.Get(SortParam)}
	if utf8.RuneCountInString(q.Text) > TextLength {
		return Query{}, problem.Invalid("A list can be searched for at most %d characters. Please shorten the text.", TextLength)
	}
	if q.State != "" && !slices.Contains(s.States, q.State) {
		return Query{}, problem.Invalid("This list has no rows in a state “%s”. Please choose one of its states.", q.State)
	}
	if _, known := s.Order[strings.TrimPrefix(q.Sort, "-")]; !known || q.Sort == "-" {
		return Query{}, problem.Invalid("This list cannot be sorted by “%s”. Please choose one of its columns.", q.Sort)
	}
	if number := v.Get(PageParam); number != "" {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > maxPage {
			return Query{}, problem.Invalid("“%s” is not the number of a page. The first page is 1.", number)
		}
		if n > s.maxPage() {
			return Query{}, problem.Invalid("Only the first %d pages of this list can be opened.", s.maxPage())
		}
		q.Page = n
	}
	return q, nil
}

func (s Source[T]) maxPage() int {
	if s.Counted {
		return maxPage
	}
	return maxUncounted
}

// Read returns the page that q asks for, or the last one if there are not so many. q is Parse's; args are the parameters of s.
func (s Source[T]) Read(ctx context.Context, d *db.DB, q Query, args ...any) (Page[T], error) {
	q.Page = max(q.Page, 1)
	page, err := s.read(ctx, d, q, args)
	if err != nil || len(page.Rows) > 0 || q.Page == 1 {
		return page, err
	}
	all, err := db.Row(ctx, d, db.Value[int], `SELECT COUNT(*) FROM (`+s.keys(q)+`)`, append(args, sql.Named("limit", s.maxPage()*s.Size), sql.Named("offset", 0))...)
	if err != nil {
		return Page[T]{}, err
	}
	beyond := q.Page
	page, err = s.read(ctx, d, q.Turn(s.last(all)), args)
	page.Beyond = beyond
	return page, err
}

func (s Source[T]) last(rows int) int { return max(1, (rows+s.Size-1)/s.Size) }

func (s Source[T]) read(ctx context.Context, d *db.DB, q Query, args []any) (Page[T], error) {
	page := Page[T]{Place: Place{Query: q}}
	rows, err := db.Rows(ctx, d, func(row db.Scanner) (T, error) { return s.Scan(counted{row, &page.Total}) }, s.SQL(q),
		append(args, sql.Named("limit", s.Size+1), sql.Named("offset", (q.Page-1)*s.Size))...)
	if err != nil {
		return Page[T]{}, err
	}
	page.More = len(rows) > s.Size && q.Page < s.maxPage()
	page.Rows = rows[:min(len(rows), s.Size)]
	if s.Counted {
		page.Last = s.last(page.Total)
	}
	return page, nil
}

// counted is a row whose last column is the number of all rows.
type counted struct {
	db.Scanner
	total *int
}

func (c counted) Scan(dest ...any) error { return c.Scanner.Scan(append(dest, c.total)...) }

// SQL returns the statement that reads a page, and one row more. The last column is the number of all rows. Columns are computed only
// for the rows of the page.
func (s Source[T]) SQL(q Query) string {
	total := `0`
	if s.Counted {
		total = `(SELECT COUNT(*)` + s.from() + `)`
	}
	return `SELECT ` + s.Columns + `, ` + total + ` FROM ` + s.From + ` WHERE ` + s.Key + ` IN (` + s.keys(q) + `)` + s.orderBy(q)
}

// keys is the statement that reads the keys of a page, from :offset on, at most :limit.
func (s Source[T]) keys(q Query) string {
	return `SELECT ` + s.Key + s.from() + s.orderBy(q) + ` LIMIT :limit OFFSET :offset`
}

func (s Source[T]) from() string {
	if s.Where == "" {
		return ` FROM ` + s.From
	}
	return ` FROM ` + s.From + ` WHERE ` + s.Where
}

func (s Source[T]) orderBy(q Query) string {
	if q.Sort == "" {
		return ` ORDER BY ` + s.Order[""]
	}
	column, reverse := strings.CutPrefix(q.Sort, "-")
	order := s.Order[column]
	if reverse {
		order += ` DESC`
	}
	return ` ORDER BY ` + order + `, ` + s.Order[""]
}
