package server

import (
	"context"
	"net/url"
	"strconv"

	"left4me/shared/route"
	"left4me/templates/web"
)

// mostLines is how many lines of a console a page collects before it begins anew with the last ones.
const mostLines = 2_000

// consoleURL asks for the lines after those on the page.
func (v ShowView) consoleURL() string {
	last, shown := v.SeenLine, v.SeenLines+len(v.Console)
	if n := len(v.Console); n > 0 {
		last = v.Console[n-1].ID
	}
	if v.startsAnew() {
		shown = len(v.Console)
	}
	return route.ServerShow.URL(v.Server.ID) + "?" + url.Values{ConsoleParam: {strconv.FormatInt(last, 10)}, LinesParam: {strconv.Itoa(shown)}}.Encode()
}

// watchURL is the page with the console open.
func (v ShowView) watchURL() string {
	return route.ServerShow.URL(v.Server.ID) + "?" + url.Values{ConsoleParam: {"0"}}.Encode() + "#" + ConsoleID
}

// startsAnew is whether the lines replace those on the page, which has too many.
func (v ShowView) startsAnew() bool { return v.SeenLines > mostLines }

// consoleSwap says what becomes of the new lines on the page.
func (v ShowView) consoleSwap() string {
	if v.startsAnew() {
		return "innerHTML:#" + ConsoleLinesID
	}
	return "beforeend:#" + ConsoleLinesID
}

// asksConsole is whether a page asks for new lines of the console.
func asksConsole(r *web.Request) bool { return r.Fragment() && r.URL.Query().Has(ConsoleParam) }

// lines returns a function that reads into v what the console has said after the lines on the page.
func (p ShowPage) lines(id int64, v *ShowView) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		after := v.SeenLine
		if v.startsAnew() {
			after = 0
		}
		v.Console, err = p.Servers.Console(ctx, id, after)
		return err
	}
}
