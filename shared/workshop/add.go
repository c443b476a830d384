package workshop

import (
	"context"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
)

// Mode is how pasted ids are understood (form field `input_mode`, P12).
type Mode string

const (
	// Auto asks Steam which ids are collections.
	Auto Mode = "auto"
	// Items treats every id as an item.
	Items Mode = "items"
	// Collections refuses ids that are not collections.
	Collections Mode = "collection"
)

const (
	// maxDepth is the maximum depth of collections inside collections (P12).
	maxDepth = 5
	// maxImport is the maximum number of items that collections may add at once.
	maxImport = 5000
	// steamTime limits Add and RefreshOverlay, mostly their requests to Steam, so that the 30 s of a route also suffice for the
	// answer.
	steamTime = 25 * time.Second
)

// Added is the result of Add.
type Added struct {
	// New counts the items that were added, Already those that were in the overlay before.
	New, Already int
	// Unavailable are the new items that Steam does not offer for download.
	Unavailable []steam.ID
	// Lost counts the items that Steam does not have, and that were not added because everything else was in the overlay before.
	Lost int
	// Collections counts the collections that were read.
	Collections int
	// Skipped counts entries of collections that are neither items nor collections.
	Skipped int
	// JobID is the build that will download the new items; zero when there are none.
	JobID int64
}

// Add asks Steam through client about ids, adds them, or the items of the collections among them, to o for u and enqueues a
// build: all or nothing, within steamTime. What is added again after Remove gets its place in the list back if places has its
// Item.AddedAt. Errors are problems: 400 when an item is for another game, when none of the items exists
// on Steam or in the overlay, or when a collection cannot be added as a whole; 429 beyond u's limits; 502 when Steam does not answer.
func (s *Store) Add(ctx context.Context, client *steam.Client, u account.User, o overlay.Overlay, ids []steam.ID, mode Mode, places map[steam.ID]time.Time) (Added, error) {
	if !o.Type.HoldsItems {
		return Added{}, problem.Invalid("%s overlays hold no workshop items.", o.Type.Title)
	}
	ctx, stop := context.WithTimeout(ctx, steamTime)
	defer stop()
	if mode != Items && mode != Auto && mode != Collections {
		return Added{}, problem.Invalid("There is no input mode “%s”.", mode)
	}
	existing, err := s.act(ctx, u, o)
	if err != nil {
		return Added{}, err
	}
	var a Added
	if mode != Items {
		if ids, err = expand(ctx, client, ids, mode == Collections, &a); err != nil {
			return Added{}, err
		}
	}

	exists := make(map[steam.ID]bool, len(existing))
	for _, i := range existing {
		exists[i.SteamID] = true
	}
	var missing []steam.ID
	for _, id := range ids {
		if !exists[id] {
			missing = append(missing, id)
		}
	}
	a.Already = len(ids) - len(missing)
	if len(missing) == 0 {
		return a, nil
	}
	items, err := client.Details(ctx, missing)
	if err != nil {
		return Added{}, steamFailed(err)
	}
	exist, err := check(items)
	switch {
	case err != nil:
		return Added{}, err
	case !exist && a.Already > 0:
		a.Lost = len(items)
		return a, nil
	case !exist && len(items) == 1:
		return Added{}, problem.Invalid("Steam has no item %s: it does not exist, was deleted, or is not public. Nothing was added.", items[0].SteamID)
	case !exist:
		return Added{}, problem.Invalid("Steam has none of these %d items: they do not exist, were deleted, or are not public. Nothing was added.", len(items))
	}
	for _, i := range items {
		if i.LastError() != "" {
			a.Unavailable = append(a.Unavailable, i.SteamID)
		}
	}
	var build *jobstore.Enqueued
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		changes, err := s.Save(ctx, q, items)
		if err != nil {
			return err
		}
		if err := s.insertInto(ctx, q, u, o.ID, steamIDs(items), &a.New); err != nil {
			return err
		}
		if err := restore(ctx, q, o, places); err != nil {
			return err
		}
		if err := overlay.Changed(ctx, q, o.ID); err != nil {
			return err
		}
		if build, err = s.jobs.Enqueue(ctx, q, overlay.BuildOf(o.ID, u.ID)); err != nil {
			return err
		}
		_, err = s.rebuild(ctx, q, changes, o.ID)
		return err
	})
	if err != nil {
		return Added{}, tooManyItems(err, u)
	}
	a.JobID, a.Already = build.ID, len(ids)-a.New
	return a, nil
}

// act counts an action of u, which asks Steam, and returns the items of o. The error is a problem (429) beyond u's limits.
func (s *Store) act(ctx context.Context, u account.User, o overlay.Overlay) (existing []Item, err error) {
	err = db.Together(ctx, s.db,
		func(ctx context.Context) error { return account.CountAction(ctx, s.db, s.now(), u) },
		func(ctx context.Context) (err error) {
			existing, err = s.OfOverlay(ctx, o.ID)
			return err
		})
	return existing, u.Refused(err)
}

// check reports whether any of the items exists on Steam. The error is a problem: an item is for another game (P13).
func check(items []steam.Item) (exist bool, err error) {
	for _, i := range items {
		if i.Missing || i.Result != 1 {
			continue
		}
		exist = true
		if i.ConsumerAppID != steam.AppID {
			return exist, problem.Invalid("Item %s (“%s”) is for another game (app %d), not for Left 4 Dead 2. Nothing was added.", i.SteamID, i.Title, i.ConsumerAppID)
		}
	}
	return exist, nil
}

func steamFailed(err error) error {
	return problem.Upstream(err, "steam api error: %v. Nothing was changed; please try again in a minute.", err)
}

// expand replaces the collections among ids by their items, in place and without repeats, and counts in a what it finds. With
// onlyCollections every id must be a collection. Each collection is read once, even when collections contain each other.
func expand(ctx context.Context, client *steam.Client, ids []steam.ID, onlyCollections bool, a *Added) ([]steam.ID, error) {
	children := map[steam.ID][]steam.Child{} // by collection
	level, asked := ids, map[steam.ID]bool{}
	for _, id := range ids {
		asked[id] = true
	}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return nil, problem.Invalid("Collections are nested more than %d deep, such as collection %s. Nothing was added.", maxDepth, level[0])
		}
		found, err := client.Collections(ctx, level)
		if err != nil {
			return nil, steamFailed(err)
		}
		var next []steam.ID
		for _, c := range found {
			if c.Missing || c.Result != 1 {
				switch {
				case depth > 0:
					return nil, unreadable(c.SteamID)
				case onlyCollections:
					return nil, problem.Invalid("%s is not a collection that Steam shows. Nothing was added.", c.SteamID)
				}
				continue
			}
			children[c.SteamID] = c.Children
			for _, child := range c.Children {
				if child.FileType == steam.ChildCollection && !asked[child.SteamID] {
					asked[child.SteamID] = true
					next = append(next, child.SteamID)
				}
			}
		}
		level = next
	}
	a.Collections = len(children)
	if len(children) == 0 {
		return ids, nil
	}

	var items []steam.ID
	seen := map[steam.ID]bool{}
	var add func(id steam.ID, isCollection bool) error
	add = func(id steam.ID, isCollection bool) error {
		if _, readable := children[id]; isCollection && !readable {
			// It was also pasted by itself, where it was treated as an item.
			return unreadable(id)
		}
		if seen[id] {
			return nil
		}
		seen[id] = true
		if !isCollection {
			items = append(items, id)
			return nil
		}
		for _, child := range children[id] {
			if child.FileType != steam.ChildItem && child.FileType != steam.ChildCollection {
				a.Skipped++
			} else if err := add(child.SteamID, child.FileType == steam.ChildCollection); err != nil {
				return err
			}
		}
		return nil
	}
	for _, id := range ids {
		_, isCollection := children[id]
		if err := add(id, isCollection); err != nil {
			return nil, err
		}
	}
	switch {
	case len(items) == 0:
		return nil, problem.Invalid("The collection holds no items. Nothing was added.")
	case len(items) > maxImport:
		return nil, problem.Invalid("The collection holds %d items; at most %d can be added at once. Nothing was added.", len(items), maxImport)
	}
	return items, nil
}

func unreadable(collection steam.ID) error {
	return problem.Invalid("Collection %s, inside another one, cannot be read on Steam. Nothing was added.", collection)
}
