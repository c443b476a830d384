package server_test

import (
	"testing"

	"left4me/shared/blueprint"
	"left4me/shared/server"
)

// shows: P61 P63
func TestDifferencesAreSaidInWords(t *testing.T) {
	item := func(id, title string, updated int64) server.RunItem {
		return server.RunItem{SteamID: id, Title: title, Updated: updated}
	}
	aMap := func(id, title string, updated int64) server.RunItem {
		i := item(id, title, updated)
		i.Map = true
		return i
	}
	content := func(items ...server.RunItem) server.Content {
		return server.Content{Build: 1, Stack: []server.RunOverlay{{ID: 1, Name: "top", Items: items}, {ID: 2, Name: "bottom", Items: items}}}
	}
	var many []server.RunItem
	for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
		many = append(many, item(id, "", 1))
	}
	with := func(c server.Content, change func(*server.Content)) server.Content {
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		before, now        server.Content
		words, named, news string
	}{
		"the same": {content(many...), content(many...), "", "", "other content"},
		"many new": {content(), content(many...), "6 items were added", "6 items were added (item 1, item 2, item 3, item 4, item 5 and 1 more)", "item 1, item 2, item 3, item 4, item 5 and 1 more"},
		"some of everything": {
			with(content(item("1", "", 1), item("2", "", 1), aMap("3", "Old", 1), aMap("7", "B", 1), aMap("8", "A", 1)), func(c *server.Content) { c.Stack[1].ID = 3 }),
			with(content(aMap("3", "Old", 2), item("4", "New", 1), aMap("7", "B", 2), aMap("8", "A", 1)), func(c *server.Content) { c.Build = 2; c.Settings.Slots = 4; c.Stack[1].Name = "below" }),
			"2 maps are newer, 1 item was added, 2 items were removed, 1 overlay was added, 1 overlay was removed, the game is newer, the settings have changed",
			"2 maps are newer (B, Old), 1 item was added (New), 2 items were removed (item 1, item 2), 1 overlay was added (below), 1 overlay was removed (bottom), the game is newer, the settings have changed",
			"B, Old, New, the game",
		},
		// What is below does not count.
		"an item in two versions": {
			content(item("1", "A", 1)),
			with(content(), func(c *server.Content) {
				c.Stack[0].Items, c.Stack[1].Items = []server.RunItem{item("1", "A", 1)}, []server.RunItem{item("1", "A", 2)}
			}),
			"", "", "other content",
		},
		"another order": {content(), with(content(), func(c *server.Content) { c.Stack[0], c.Stack[1] = c.Stack[1], c.Stack[0] }),
			"the overlays have another order", "the overlays have another order", "other content"},
		"another port":              {content(), with(content(), func(c *server.Content) { c.Port = 5 }), "the settings have changed", "the settings have changed", "other settings"},
		"a run of an older version": {content(), with(content(), func(c *server.Content) { c.Settings.Hostname = "friday" }), "", "", "other content"},
		"another name": {with(content(), func(c *server.Content) { c.Settings.Hostname = "friday" }), with(content(), func(c *server.Content) { c.Settings = blueprint.Settings{Hostname: "sunday"} }),
			"the settings have changed", "the settings have changed", "other settings"},
		"a long title": {content(), content(item("1", "A very long title, of which people who play see the first part only, because lines are cut", 1)),
			"1 item was added", "1 item was added (A very long title, of which people who play see the first part only, because lines are cut)",
			"A very long title, of which people who play see the first part only, because …"},
	} {
		d := c.now.Since(c.before)
		if d.String() != c.words || d.Named() != c.named || d.News() != c.news {
			t.Errorf("%s:\n%q\n%q\n%q", name, d, d.Named(), d.News())
		}
	}
}
