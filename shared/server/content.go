package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"left4me/shared/blueprint"
	"left4me/shared/text"
)

// Content is what a run has, or would have.
type Content struct {
	// Build is the id of the game's release.
	Build int64
	Port  int
	// Settings are those of a blueprint, with the name that the game shows.
	Settings blueprint.Settings
	// Stack are the overlays, from the top. Of an item in several of them, the first counts.
	Stack []RunOverlay
}

// content returns what a run has.
func (s *Store) content(ctx context.Context, r Run) (Content, error) {
	settings, err := blueprint.Decode(r.Settings)
	if err != nil {
		return Content{}, fmt.Errorf("read the settings of run %d: %w", r.ID, err)
	}
	stack, err := s.stack(ctx, `:id`, r.ID)
	return Content{Build: r.Build, Port: r.Port, Settings: settings, Stack: stack}, err
}

// Changes returns what a run has that an older one had not, and the other way round.
func (s *Store) Changes(ctx context.Context, before, now Run) (Difference, error) {
	old, err := s.content(ctx, before)
	if err != nil {
		return Difference{}, err
	}
	c, err := s.content(ctx, now)
	return c.Since(old), err
}

// hash identifies the content.
func (c Content) hash() string {
	text := fmt.Appendf(nil, "%d %d %+v", c.Build, c.Port, c.Settings)
	for _, o := range c.Stack {
		text = fmt.Appendf(text, " overlay %d", o.ID)
		for _, i := range o.Items {
			text = fmt.Appendf(text, " %s %d %d", i.SteamID, i.Updated, i.Size)
		}
	}
	return hash(text)
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// items returns the items that count, by their ids.
func (c Content) items() map[string]RunItem {
	all := map[string]RunItem{}
	for _, o := range c.Stack {
		for _, i := range o.Items {
			if _, known := all[i.SteamID]; !known {
				all[i.SteamID] = i
			}
		}
	}
	return all
}

// Difference is what one content has that another one had not, and the other way round.
type Difference struct {
	// Newer and Added are items that have another version, or were not there, and Removed are those that are not there any more. All are
	// sorted by name.
	Newer, Added, Removed []RunItem
	// OverlaysAdded and OverlaysRemoved are names.
	OverlaysAdded, OverlaysRemoved []string
	// Reordered is whether the overlays that stay have another order.
	Reordered bool
	// Game is whether the release is another one, and Settings whether a setting or the port is.
	Game, Settings bool
}

// Since returns the difference from an older content to c.
func (c Content) Since(before Content) Difference {
	d := Difference{Game: c.Build != before.Build}
	had, has := before.items(), c.items()
	for id, i := range has {
		switch old, known := had[id]; {
		case !known:
			d.Added = append(d.Added, i)
		case old.Updated != i.Updated || old.Size != i.Size:
			d.Newer = append(d.Newer, i)
		}
	}
	for id, i := range had {
		if _, still := has[id]; !still {
			d.Removed = append(d.Removed, i)
		}
	}
	for _, items := range [][]RunItem{d.Newer, d.Added, d.Removed} {
		slices.SortFunc(items, func(a, b RunItem) int { return strings.Compare(a.name()+a.SteamID, b.name()+b.SteamID) })
	}
	var kept, stayed []int64
	kept, d.OverlaysAdded = compare(c.Stack, before.Stack)
	stayed, d.OverlaysRemoved = compare(before.Stack, c.Stack)
	d.Reordered = !slices.Equal(kept, stayed)
	if before.Settings.Hostname == "" { // in a run of an older version
		before.Settings.Hostname = c.Settings.Hostname
	}
	d.Settings = c.Port != before.Port || !reflect.DeepEqual(c.Settings, before.Settings)
	return d
}

// compare returns the ids of the overlays of a that are also in b, and the names of the others.
func compare(a, b []RunOverlay) (both []int64, only []string) {
	for _, o := range a {
		if slices.ContainsFunc(b, func(other RunOverlay) bool { return other.ID == o.ID }) {
			both = append(both, o.ID)
		} else {
			only = append(only, o.Name)
		}
	}
	return both, only
}

// shownNames is how many names a text has of each kind of difference.
const shownNames = 5

// String says what differs, such as `2 maps are newer, 1 item was added, the game is newer`; empty if nothing does.
func (d Difference) String() string { return d.say(func([]string) string { return "" }) }

// Named is String with the names of items and overlays, such as `2 maps are newer (Urban Flight, Blood Tracks)`.
func (d Difference) Named() string {
	return d.say(func(names []string) string { return " (" + text.List(names, shownNames, ", ") + ")" })
}

func (d Difference) say(list func(names []string) string) string {
	var parts []string
	add := func(names []string, one, many, how string) {
		if n := len(names); n == 1 {
			parts = append(parts, fmt.Sprintf("1 %s %s", one, strings.Replace(how, "are ", "is ", 1))+list(names))
		} else if n > 1 {
			parts = append(parts, fmt.Sprintf("%d %s %s", n, many, strings.Replace(how, "was ", "were ", 1))+list(names))
		}
	}
	for _, c := range []struct {
		items []RunItem
		how   string
	}{{d.Newer, "are newer"}, {d.Added, "was added"}, {d.Removed, "was removed"}} {
		var maps, others []string
		for _, i := range c.items {
			if i.Map {
				maps = append(maps, i.name())
			} else {
				others = append(others, i.name())
			}
		}
		add(maps, "map", "maps", c.how)
		add(others, "item", "items", c.how)
	}
	add(d.OverlaysAdded, "overlay", "overlays", "was added")
	add(d.OverlaysRemoved, "overlay", "overlays", "was removed")
	for _, c := range []struct {
		is  bool
		how string
	}{{d.Reordered, "the overlays have another order"}, {d.Game, "the game is newer"}, {d.Settings, "the settings have changed"}} {
		if c.is {
			parts = append(parts, c.how)
		}
	}
	return strings.Join(parts, ", ")
}

// maxNews is how long News is at most, in bytes: the game cuts longer lines.
const maxNews = 80

// News is what players see of the difference: names, such as `Urban Flight, Blood Tracks, the game`.
func (d Difference) News() string {
	var names []string
	for _, i := range slices.Concat(d.Newer, d.Added) {
		names = append(names, i.name())
	}
	if d.Game {
		names = append(names, "the game")
	}
	switch {
	case len(names) == 0 && d.Settings:
		return "other settings"
	case len(names) == 0:
		return "other content"
	}
	return text.Truncate(text.List(names, shownNames, ", "), maxNews)
}

func (i RunItem) name() string {
	if i.Title == "" {
		return "item " + i.SteamID
	}
	return i.Title
}
