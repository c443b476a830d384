package overlay

import (
	"context"
	"encoding/json"

	"left4me/shared/account"
)

// Type is one row of the table of overlay types: all that left4me knows about a type.
type Type struct {
	// Name is the value of overlays.type.
	Name string
	// Title is the name that pages show, and Hint a sentence about what the type is for.
	Title, Hint string
	// System is whether overlays of this type belong to nobody: everybody sees them, administrators create and change them.
	// Other overlays belong to the person who created them.
	System bool
	// HoldsItems is whether overlays of this type hold workshop items.
	HoldsItems bool
	// Build makes the overlay's directory what the database says.
	Build func(Builder, context.Context, Overlay) error `api:"-"`
}

// Builder is what the builds of all types can do on a game host. An error is fit to be shown in the job's log. A build that is
// cancelled leaves the directory consistent; the next one completes it.
type Builder interface {
	// MakeDirectory makes the overlay's directory if it is missing and touches nothing in it.
	MakeDirectory(context.Context, Overlay) error
	// LinkItems downloads the overlay's workshop items and links them into its directory.
	LinkItems(context.Context, Overlay) error
}

// The overlay types.
var (
	Workshop = &Type{
		Name:       "workshop",
		Title:      "Workshop",
		Hint:       "left4me fetches workshop items into it and keeps them fresh.",
		HoldsItems: true,
		Build:      Builder.LinkItems,
	}
	External = &Type{
		Name:   "external",
		Title:  "External",
		Hint:   "You put the files there by hand; left4me only makes the directory.",
		System: true,
		Build:  Builder.MakeDirectory,
	}
)

// types is the table, in the order in which forms offer the types.
var types = []*Type{Workshop, External}

// Types returns every type that u may create. The slice is the caller's.
func Types(u account.User) []*Type {
	var all []*Type
	for _, t := range types {
		if t.creatableBy(u) {
			all = append(all, t)
		}
	}
	return all
}

func (t *Type) creatableBy(u account.User) bool { return u.Admin || !t.System }

// typeNamed returns the type with that value of overlays.type. If there is none, known is false, and the type has only a name:
// nothing can build it.
func typeNamed(name string) (t *Type, known bool) {
	for _, t := range types {
		if t.Name == name {
			return t, true
		}
	}
	return &Type{Name: name, Title: name}, false
}

// typesWhere is the JSON array of the names of the types for which is returns true.
func typesWhere(is func(*Type) bool) string {
	names := []string{}
	for _, t := range types {
		if is(t) {
			names = append(names, t.Name)
		}
	}
	list, _ := json.Marshal(names) // strings always have a JSON form
	return string(list)
}
