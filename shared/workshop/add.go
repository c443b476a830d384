package workshop

import (
	"context"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
)

// Mode says how pasted ids are read (form field `input_mode`, P12).
type Mode string

const (
	// Auto recognises collections by itself.
	Auto Mode = "auto"
	// Items takes every id for an item.
	Items Mode = "items"
	// Collections takes every id for a collection and refuses others.
	Collections Mode = "collection"
)

const (
	// maxDepth is how deep collections inside collections are followed (P12).
	maxDepth = 5
	// maxImport bounds what collections may bring into one overlay at once.
	maxImport = 5000
)

// Import adds pasted items to overlays.
type Import struct {
	Steam *steam.Client
	Items *Store
	Jobs  *jobstore.Store
	DB    *db.DB
}

// Added says what an import did.
type Added struct {
	// New and Already count items that were added, and that were in the overlay before.
	New, Already int
	// Unavailable are the steam ids among the new ones that Steam does not give for download.
	Unavailable []string
	// Collections counts the collections that were read.
	Collections int
	// Skipped counts entries of collections that are neither items nor collections.
	Skipped int
	// JobID is the build that will fetch what is new; zero when nothing is.
	JobID int64
}

// Add reads ids according to mode, asks Steam about them, adds them to o for u and enqueues a build: all or nothing.
// Errors are problems: 400 when an item is for another game, when nothing of it exists on Steam, or when a collection
// cannot be imported whole; 502 when Steam does not answer.
func (im *Import) Add(ctx context.Context, u account.User, o overlay.Overlay, ids []string, mode Mode) (Added, error) {
	if o.Type != overlay.Workshop {
		return Added{}, problem.Invalid("Only workshop overlays hold workshop items.")
	}
	var a Added
	var err error
	switch mode {
	case Items:
	case Auto, Collections:
		if ids, err = im.expand(ctx, ids, mode == Collections, &a); err != nil {
			return Added{}, err
		}
	default:
		return Added{}, problem.Invalid("There is no input mode “%s”.", mode)
	}

	held, err := im.Items.OfOverlay(ctx, o.ID)
	if err != nil {
		return Added{}, err
	}
	there := make(map[string]bool, len(held))
	for _, i := range held {
		there[i.SteamID] = true
	}
	var wanted []string
	for _, id := range ids {
		if !there[id] {
			wanted = append(wanted, id)
		}
	}
	a.Already = len(ids) - len(wanted)
	if len(wanted) == 0 {
		return a, nil
	}
	items, err := im.Steam.Details(ctx, wanted)
	if err != nil {
		return Added{}, steamFailed(err)
	}
	if err := refuse(items); err != nil {
		return Added{}, err
	}
	for _, i := range items {
		if i.LastError() != "" {
			a.Unavailable = append(a.Unavailable, i.ID)
		}
	}
	err = im.DB.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		changes, err := im.Items.Save(ctx, q, items)
		if err != nil {
			return err
		}
		if a.New, err = im.Items.hold(ctx, q, o.ID, items); err != nil {
			return err
		}
		if err := overlay.Changed(ctx, q, o.ID); err != nil {
			return err
		}
		build, err := im.Jobs.EnqueueBuild(ctx, q, o.ID, u.ID)
		if err != nil {
			return err
		}
		a.JobID = build.ID
		_, err = rebuild(ctx, q, im.Jobs, changes, o.ID)
		return err
	})
	if err != nil {
		return Added{}, err
	}
	a.Already = len(ids) - a.New
	return a, nil
}

// refuse applies P13 and P14 to a whole batch.
func refuse(items []steam.Item) error {
	exists := false
	for _, i := range items {
		if i.Missing || i.Result != 1 {
			continue
		}
		exists = true
		if i.ConsumerAppID != steam.AppID {
			return problem.Invalid("Item %s (“%s”) is for another game (app %d), not for Left 4 Dead 2. Nothing was added.", i.ID, i.Title, i.ConsumerAppID)
		}
	}
	switch {
	case exists:
		return nil
	case len(items) == 1:
		return problem.Invalid("Steam has no item %s: it does not exist, was deleted, or is not public. Nothing was added.", items[0].ID)
	}
	return problem.Invalid("Steam has none of these %d items: they do not exist, were deleted, or are not public. Nothing was added.", len(items))
}

func steamFailed(err error) error {
	return problem.Upstream(err, "steam api error: %v. Nothing was changed; please try again in a minute.", err)
}

// expand replaces the collections among ids by what they hold, in place and without repeats. Collections inside
// collections are read level by level; one that comes again, in a circle too, is read once.
func (im *Import) expand(ctx context.Context, ids []string, only bool, a *Added) ([]string, error) {
	held := map[string][]steam.Child{} // by the collection's id
	level, asked := ids, map[string]bool{}
	for _, id := range ids {
		asked[id] = true
	}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return nil, problem.Invalid("Collections are nested more than %d deep, such as collection %s. Nothing was added.", maxDepth, level[0])
		}
		found, err := im.Steam.Collections(ctx, level)
		if err != nil {
			return nil, steamFailed(err)
		}
		var next []string
		for _, c := range found {
			if c.Missing || c.Result != 1 {
				switch {
				case depth > 0:
					return nil, unreadable(c.ID)
				case only:
					return nil, problem.Invalid("%s is not a collection that Steam shows. Nothing was added.", c.ID)
				}
				continue
			}
			held[c.ID] = c.Children
			for _, child := range c.Children {
				if child.FileType == steam.ChildCollection && !asked[child.ID] {
					asked[child.ID] = true
					next = append(next, child.ID)
				}
			}
		}
		level = next
	}
	a.Collections = len(held)
	if len(held) == 0 {
		return ids, nil
	}

	var flat []string
	seen := map[string]bool{}
	var visit func(id string, isCollection bool) error
	visit = func(id string, isCollection bool) error {
		children, readable := held[id]
		if isCollection && !readable {
			return unreadable(id) // pasted beside the one that holds it, where it passed for an item
		}
		if seen[id] {
			return nil
		}
		seen[id] = true
		if !isCollection {
			flat = append(flat, id)
			return nil
		}
		for _, child := range children {
			var err error
			switch child.FileType {
			case steam.ChildItem:
				err = visit(child.ID, false)
			case steam.ChildCollection:
				err = visit(child.ID, true)
			default:
				a.Skipped++
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, id := range ids {
		_, isCollection := held[id]
		if err := visit(id, isCollection); err != nil {
			return nil, err
		}
	}
	switch {
	case len(flat) == 0:
		return nil, problem.Invalid("The collection holds no items. Nothing was added.")
	case len(flat) > maxImport:
		return nil, problem.Invalid("The collection holds %d items; at most %d can be added at once. Nothing was added.", len(flat), maxImport)
	}
	return flat, nil
}

func unreadable(collection string) error {
	return problem.Invalid("Collection %s, inside another one, cannot be read on Steam. Nothing was added.", collection)
}
