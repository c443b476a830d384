// Package overlay owns the views of overlays: the list with the form for a new one, and the page of one with its workshop
// items.
//
// # Fragments
//
// The add form and the remove buttons are plain forms. Asked by htmx, route.ItemAdd and route.ItemRemove answer 200 with
// Changed, over a ShowView as for the page. A refused input is answered 400 with AddError after page.Retarget(header,
// AddErrorID), so that the text in the box stays.
//
// While a job of the overlay is queued or running, the element JobProgressID asks `GET /overlays/{id}?job=ID&state=STATE`, as
// often as a job's page asks; the function answers with News, with SeenJob and SeenState set from the parameters. Until that job has
// ended, it reads only the overlay and its jobs. With several hosts, it also sends the table of hosts when a job of any of them has
// begun or ended, by the parameter HostsParam. Then Job is the next one that is active, else the one that was seen, so that its end
// is shown.
package overlay

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/steam"
	"left4me/shared/text"
	"left4me/shared/vpk"
	"left4me/shared/workshop"
	"left4me/templates/page"
)

// Ids of elements that fragments replace.
const (
	// ItemsID is the section with the items.
	ItemsID = "items"
	// ItemListID is the part of it that has the table.
	ItemListID = "item-list"
	// InputID is the box to paste into.
	InputID = "input"
	// AddErrorID shows why the pasted text was refused.
	AddErrorID = "add-error"
	// HostsID is the table of several hosts, and HostsSummaryID the line above it.
	HostsID        = "overlay-hosts"
	HostsSummaryID = "overlay-hosts-summary"
	// BuildID is the sentence about the last build.
	BuildID = "overlay-build"
	// WaitingID is the section about changes that wait for a build.
	WaitingID = "overlay-waiting"
	// JobID is the section about the running job.
	JobID = "overlay-job"
	// JobProgressID is the bar inside that section, which also polls.
	JobProgressID = "overlay-progress"
)

// Query parameters of route.OverlayShow; with JobParam the answer is News.
const (
	// JobParam holds the id of the job that the page shows.
	JobParam = "job"
	// StateParam holds the state of that job on the page.
	StateParam = "state"
	// HostsParam holds the jobs on all hosts that the page shows, as ShowView.hostJobs gives them.
	HostsParam = "hosts"
)

// Fields of route.ItemsRemove, route.ItemsCopy and route.ItemsChange.
const (
	// ItemField holds the id (workshop_items.id) of a selected item, and may be repeated.
	ItemField = "item"
	// ChangeField says what is changed: `disable`, `enable`, `pin` or `unpin`. Followed by a space and the id of an item, that one is changed,
	// and not the selected ones: so the buttons of the rows and those for all selected items belong to one form. `pin ID TIME` pins to the
	// version of that time, in Unix seconds.
	ChangeField = "change"
	// CopyToField holds the id of the overlay to copy to.
	CopyToField = "to"
)

// LinkField is a field of route.ItemChange: the name of a mutation that the item's link gets; empty: the item's id.
const LinkField = "link"

// RestoreField is a field of route.ItemAdd, which may be repeated: an item that was removed, and when it was added before.
const RestoreField = "restore"

// restoreValue is the value of RestoreField for a removed item.
func restoreValue(i workshop.Item) string {
	return string(i.SteamID) + " " + strconv.FormatInt(i.AddedAt.UnixMilli(), 10)
}

// ParseRestore reads the values of RestoreField, and returns the first item and when each was added. It leaves out what is none.
func ParseRestore(values []string) (first steam.ID, addedAt map[steam.ID]time.Time) {
	addedAt = map[steam.ID]time.Time{}
	for _, v := range values {
		id, at, _ := strings.Cut(v, " ")
		if millis, err := strconv.ParseInt(at, 10, 64); err == nil {
			first = cmp.Or(first, steam.ID(id))
			addedAt[steam.ID(id)] = time.UnixMilli(millis)
		}
	}
	return first, addedAt
}

// LostField is the field of route.OverlayRename that says what becomes of items that Steam does not offer any more. Without it, or without
// `name`, the setting stays as it is.
const LostField = "lost"

// Values of LostField.
const (
	keepLost   = "keep"
	unlinkLost = "unlink"
)

// ParseSettings returns the settings that the fields of a form give o. The error is a problem (400).
func ParseSettings(o overlay.Overlay, form url.Values) (overlay.Settings, error) {
	to := o.Settings()
	if form.Has("name") {
		to.Name = form.Get("name")
	}
	switch lost := form.Get(LostField); lost {
	case "":
	case keepLost, unlinkLost:
		to.KeepsLost = lost == keepLost
	default:
		return to, problem.Invalid("“%s” is not what can become of lost items. Please choose from the list. Nothing was changed.", lost)
	}
	return to, nil
}

// inputModes are the values of input_mode (product.md P12) with the words of the form.
var inputModes = []struct {
	value workshop.Mode
	words string
}{
	{workshop.Auto, "items or collections"},
	{workshop.Items, "only items"},
	{workshop.Collections, "only collections"},
}

// CreateForm is the form for a new overlay.
type CreateForm struct {
	// Name and Type are what the person sent before.
	Name, Type string
	// Error says why it was refused; empty the first time.
	Error string
}

// ListView is the list of overlays.
type ListView struct {
	page.Frame
	Overlays list.Page[overlay.Listed]
	Create   CreateForm `api:"-"`
}

// Outcome is the result of a change of an overlay's items; the zero Outcome is no change.
type Outcome struct {
	// Added is the result of adding items, or of copying them to another overlay.
	Added workshop.Added
	// CopiedTo is the name of the overlay that items were copied to; empty if they were added to this one.
	CopiedTo string
	// Removed are the removed items.
	Removed []workshop.Item
	// Renamed is the item whose link got another name; the zero Item is none.
	Renamed workshop.Item
	// Set are the items that were given another state, such as `disabled`: SetTo.
	Set   []workshop.Item
	SetTo string
	// Restored is the first of the items that were put back; empty for none.
	Restored steam.ID
	// JobID is the build that applies the change; zero when nothing has to be done.
	JobID int64
}

// OnHost is an overlay on one of several hosts.
type OnHost struct {
	Host host.Host
	// Build is how the last build there went.
	Build overlay.HostBuild
	// Job is the overlay's job there that has not ended; the zero Job is none.
	Job jobstore.Job
}

// ShowView is the page of one overlay, and all its fragments.
type ShowView struct {
	page.Frame
	Overlay overlay.Overlay
	Items   list.Page[workshop.Item]
	// Sum is that of all items of the overlay.
	Sum workshop.Sum
	// Campaigns are those of all items of the overlay.
	Campaigns []workshop.Campaign
	// Conflicts is what conflicts between the items of the overlay, or what else is in it.
	Conflicts workshop.Comparison
	// Others are overlays that items can be copied to.
	Others []overlay.Choice
	// Waiting is what waits for the next successful build; zero when the last build has succeeded.
	Waiting workshop.Waiting
	// Hosts are the game hosts by name. If there are several, OnHosts is the overlay on each of them, in the same order.
	Hosts   []host.Host
	OnHosts []OnHost
	// Job is the overlay's job that is queued or running, or has just ended; the zero Job is none.
	Job jobstore.Job
	// SeenJob and SeenState are what the reader's page shows, from JobParam and StateParam; only for News.
	SeenJob   int64     `api:"-"`
	SeenState job.State `api:"-"`
	// SeenHosts are the jobs on hosts that the reader's page shows, from HostsParam; only for News.
	SeenHosts string `api:"-"`
	// Input and InputMode are the refused input, and InputError says why it was refused.
	Input, InputMode, InputError string `api:"-"`
	// Changed are the refused settings, and ChangeError says why they were refused.
	Changed     overlay.Settings `api:"-"`
	ChangeError string           `api:"-"`
	// DeleteError says why deleting was refused, and RefreshError why Steam was not asked, or did not answer.
	DeleteError, RefreshError string  `api:"-"`
	Outcome                   Outcome `api:"-"`
	// Examples are texts to paste, shown while the overlay is empty.
	Examples []string `api:"-"`

	live   []jobstore.Job // the overlay's jobs that have not ended, newest first
	builds []overlay.HostBuild
}

func (v ListView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = "Overlays", page.Overlays
	return v.Frame
}

func (v ListView) list() page.List {
	return page.List{ID: "overlays", Place: v.Overlays.Place, Path: route.OverlayList.URL(), One: "overlay", Many: "overlays", States: overlay.Listing.States}
}

func (v ShowView) list() page.List {
	return page.List{ID: ItemsID, Place: v.Items.Place, Path: route.OverlayShow.URL(v.Overlay.ID), One: "item", Many: "items", States: workshop.Listing.States}
}

func (v ShowView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = v.Overlay.Name, page.Overlays
	return v.Frame
}

// editable is whether the person may build, rename and delete the overlay, and add and remove items if it holds any.
func (v ShowView) editable() bool { return v.Overlay.Editable(v.User) == nil }

// place is where an overlay is on a host, or on several that keep their files in the same place.
type place struct {
	// hosts are their names; none when no host has reported where it keeps its files.
	hosts []string
	// directory is the overlay's path, and cache that of the workshop cache. Without a host they are below its LEFT4ME_ROOT.
	directory, cache string
}

// places returns the places of an overlay on hosts, at least one.
func places(o overlay.Overlay, hosts []host.Host) []place {
	var all []place
	for _, h := range hosts {
		directory := directoryOn(o, h)
		same := slices.IndexFunc(all, func(p place) bool { return p.directory == directory })
		switch {
		case h.Root == "":
		case same >= 0:
			all[same].hosts = append(all[same].hosts, h.Name)
		default:
			all = append(all, place{[]string{h.Name}, directory, path.Join(h.Root, "workshop_cache")})
		}
	}
	if len(all) == 0 {
		all = append(all, place{nil, "overlays/" + o.Path(), "workshop_cache"})
	}
	return all
}

// directoryOn is the overlay's directory on a host that has reported its root.
func directoryOn(o overlay.Overlay, h host.Host) string {
	return path.Join(h.Root, "overlays", o.Path())
}

// hostWords names hosts, such as `attic`, `attic and loft`, or `attic, cellar and 3 others`.
func hostWords(names []string) string {
	const few = 3
	if len(names) > few {
		return strings.Join(names[:few-1], ", ") + " and " + strconv.Itoa(len(names)-few+1) + " others"
	}
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// fewHosts is for how many hosts the table is open until somebody closes it.
const fewHosts = 5

// several is whether there are several hosts. If not, the page does not mention them (P46).
func (v ShowView) several() bool { return len(v.Hosts) > 1 }

// directory is the overlay's directory on the only game host.
func (v ShowView) directory() string { return places(v.Overlay, v.Hosts)[0].directory }

// hostsWhere are the names of the hosts for which is returns true.
func (v ShowView) hostsWhere(is func(OnHost) bool) []string {
	var names []string
	for _, o := range v.OnHosts {
		if is(o) {
			names = append(names, o.Host.Name)
		}
	}
	return names
}

// active is whether the page polls.
func (v ShowView) active() bool { return v.Job.ID != 0 && !v.Job.State.Ended() }

// building is the state of the job that has not ended; empty for none.
func (v ShowView) building() job.State {
	if v.active() {
		return v.Job.State
	}
	return ""
}

// changed is whether the reader's page shows another job or state.
func (v ShowView) changed() bool { return v.Job.ID != v.SeenJob || v.Job.State != v.SeenState }

// ended is whether the job on the reader's page has ended.
func (v ShowView) ended() bool { return v.Job.ID != v.SeenJob || !v.active() }

// hostJobs names the jobs that have not ended, with their states, such as `7:running,8:queued`; empty unless there are several hosts.
func (v ShowView) hostJobs() string {
	var all []string
	for _, j := range v.live {
		if j.SeveralHosts {
			all = append(all, fmt.Sprintf("%d:%s", j.ID, j.State))
		}
	}
	return strings.Join(all, ",")
}

// hostsChanged is whether the reader's page shows other jobs on hosts.
func (v ShowView) hostsChanged() bool { return v.hostJobs() != v.SeenHosts }

// typed are the settings in their form.
func (v ShowView) typed() overlay.Settings {
	if v.ChangeError != "" {
		return v.Changed
	}
	return v.Overlay.Settings()
}

func (v ShowView) newsURL() string {
	values := url.Values{JobParam: {strconv.FormatInt(v.Job.ID, 10)}, StateParam: {string(v.Job.State)}}
	if jobs := v.hostJobs(); jobs != "" {
		values.Set(HostsParam, jobs)
	}
	return route.OverlayShow.URL(v.Overlay.ID) + "?" + values.Encode()
}

// Sentence is the outcome without links and full stop; empty for none.
func (o Outcome) Sentence() string {
	var parts []string
	if len(o.Removed) > 0 {
		parts = append(parts, countOrName(o.Removed)+" removed")
	}
	if len(o.Set) > 0 {
		parts = append(parts, countOrName(o.Set)+" "+o.SetTo)
	}
	if o.Renamed.ID != 0 {
		parts = append(parts, "The file of "+name(o.Renamed)+" gets the name "+o.Renamed.LinkFile())
	}
	if o.CopiedTo != "" {
		parts = append(parts, page.Count(o.Added.New, "item")+" copied to "+o.CopiedTo)
		if o.Added.Already > 0 {
			parts = append(parts, strconv.Itoa(o.Added.Already)+" already there")
		}
		return strings.Join(parts, ", ")
	}
	if o.Added.New > 0 {
		added := strconv.Itoa(o.Added.New) + " added"
		if o.Added.Collections > 0 {
			added += " from " + page.Count(o.Added.Collections, "collection")
		}
		parts = append(parts, added)
	}
	switch {
	case o.Added.Already == 1 && o.Added.New == 0 && o.Added.Lost == 0:
		parts = append(parts, "already in overlay")
	case o.Added.Already > 0:
		parts = append(parts, strconv.Itoa(o.Added.Already)+" already in overlay")
	}
	if o.Added.Lost > 0 {
		parts = append(parts, strconv.Itoa(o.Added.Lost)+" not on Steam any more")
	}
	if n := len(o.Added.Unavailable); n > 0 {
		parts = append(parts, strconv.Itoa(n)+" cannot be downloaded from Steam")
	}
	if o.Added.Skipped > 0 {
		parts = append(parts, strconv.Itoa(o.Added.Skipped)+" skipped because they are not items")
	}
	return strings.Join(parts, ", ")
}

// others are the versions of an item that can be linked instead of the one that it is pinned to, or that Steam offers.
func others(i workshop.Item) (kept []workshop.Kept) {
	for _, k := range i.Versions {
		if k.Updated != i.Pinned && k.Updated != i.Updated {
			kept = append(kept, k)
		}
	}
	return kept
}

// missingOn is on how many hosts the version that an item is pinned to is not; 0 if Steam offers it.
func (v ShowView) missingOn(i workshop.Item) int {
	if !i.StaysBehind() {
		return 0
	}
	for _, k := range i.Versions {
		if k.Updated == i.Pinned {
			return len(v.Hosts) - k.Hosts
		}
	}
	return len(v.Hosts)
}

// change is the value of ChangeField for one item.
func change(what string, i workshop.Item) string { return what + " " + strconv.FormatInt(i.ID, 10) }

// countOrName is how many items these are, or which one.
func countOrName(items []workshop.Item) string {
	if len(items) == 1 {
		return name(items[0])
	}
	return page.Count(len(items), "item")
}

// maxText is the length, in bytes, up to which texts of Steam are shown; they may have any length.
const maxText = 400

// name returns the title of an item, or its id if it has none.
func name(i workshop.Item) string {
	if i.Title != "" {
		return text.Truncate(i.Title, maxText)
	}
	return "Item " + string(i.SteamID)
}

func steamURL(i workshop.Item) string {
	return "https://steamcommunity.com/sharedfiles/filedetails/?" + url.Values{"id": {string(i.SteamID)}}.Encode()
}

// updated returns when Steam last changed the item, or the zero time if it is not known.
func updated(i workshop.Item) time.Time {
	if i.Updated <= 0 {
		return time.Time{}
	}
	return time.Unix(i.Updated, 0)
}

// tone is the class that selects the shape and colour of an item's state.
func tone(state string) string {
	switch {
	case state == workshop.Ready, strings.HasSuffix(state, workshop.LastCopyKept):
		return "good"
	case state == workshop.Disabled:
		return "off"
	case state == workshop.UpdateWaitingPinned, state == workshop.WaitingForDownload, state == workshop.UpdateWaiting, state == workshop.NotLinked:
		return "waits"
	}
	return "bad"
}

// restorable is the input with which removed items are added again; empty when they are too many for that.
func (o Outcome) restorable() string {
	if len(o.Removed) > workshop.MaxIDs {
		return ""
	}
	ids := make([]string, len(o.Removed))
	for n, i := range o.Removed {
		ids[n] = string(i.SteamID)
	}
	return strings.Join(ids, " ")
}

// shownWaiting is how many of the items that keep changes waiting are named.
const shownWaiting = 10

// idAndFailure follows an item's name where it keeps changes waiting.
func idAndFailure(i workshop.Item) string {
	text := " (" + string(i.SteamID) + ")"
	if reason := i.FailedBecause(); reason != "" {
		text += ": " + reason
	}
	return text
}

// waitingBecause says how many changes wait, and for what. A list of the items that could not be downloaded follows it if there are any.
func (v ShowView) waitingBecause() string {
	text := page.Count(v.Waiting.Changes, "change")
	if v.Waiting.Changes == 1 {
		text += " is waiting"
	} else {
		text += " are waiting"
	}
	failed := page.Count(len(v.Waiting.Failed), "item") + " could not be downloaded:"
	switch {
	case v.active() && len(v.Waiting.Failed) > 0:
		return text + " for job " + strconv.FormatInt(v.Job.ID, 10) + ". Before, " + failed
	case v.active():
		return text + " for job " + strconv.FormatInt(v.Job.ID, 10) + "."
	case len(v.Waiting.Failed) > 0:
		return text + " because " + failed
	case v.Overlay.LastBuildStatus == "failed":
		return text + " because the last build failed."
	}
	return text + " for a build."
}

// Limits of what the page lists of campaigns: in the list of all, and of the maps of all rows of the table, in all modes. A row with few
// of them is not folded.
const (
	shownCampaigns = 200
	shownMaps      = 1500
	unfoldedMaps   = 3
)

// itemCampaigns are the campaigns of an item.
type itemCampaigns struct {
	campaigns []workshop.Campaign
	// maps is the number of all their maps, and commands that of all their maps in all modes.
	maps, commands int
	// shown is whether the row lists them.
	shown bool
}

// listed returns the campaigns of the items in the table.
func (v ShowView) listed() []itemCampaigns {
	listed := make([]itemCampaigns, len(v.Items.Rows))
	rows := map[steam.ID]*itemCampaigns{}
	for at, i := range v.Items.Rows {
		rows[i.SteamID] = &listed[at]
	}
	for _, c := range v.Campaigns {
		if row := rows[c.SteamID]; row != nil {
			row.campaigns = append(row.campaigns, c)
			row.maps += c.Maps()
			for _, m := range c.Modes {
				row.commands += len(m.Maps)
			}
		}
	}
	all := 0
	for at := range listed {
		all += listed[at].commands
		listed[at].shown = all <= shownMaps
	}
	return listed
}

// title names the campaigns of an item.
func (c itemCampaigns) title() string {
	if len(c.campaigns) == 1 {
		return c.campaigns[0].Title
	}
	return page.Count(len(c.campaigns), "campaign")
}

// urlOf is the page of the overlay with one item.
func (v ShowView) urlOf(id steam.ID) string {
	return list.Query{Text: string(id)}.URL(route.OverlayShow.URL(v.Overlay.ID))
}

// ConflictsHead says how much conflicts.
func ConflictsHead(c workshop.Comparison, between string) string {
	if c.Paths == 1 {
		return "1 file has different content in " + between
	}
	return page.Number(c.Paths) + " files have different content in " + between
}

// rankWords say what the paths of a conflict are of.
func rankWords(r workshop.Rank) string {
	switch r {
	case workshop.Maps:
		return "Maps or missions"
	case workshop.Scripts:
		return "Scripts"
	}
	return "Other files"
}

// originWords names where files come from.
func originWords(o workshop.Origin) string {
	switch {
	case o.SteamID != "" && o.Title == "":
		return "Item " + string(o.SteamID)
	case o.SteamID != "":
		return text.Truncate(o.Title, maxText)
	case o.File != "":
		return text.Truncate(strings.ToValidUTF8(o.File, "?"), maxText)
	}
	return "files outside add-ons"
}

func modes(c workshop.Campaign) string {
	var names []string
	for _, m := range c.Modes {
		names = append(names, m.Name)
	}
	return text.List(names, 5, ", ")
}

// about says what the file of an item is, with or without campaigns, and what it says of itself.
func about(i workshop.Item, campaigns int) string {
	c := i.Content
	parts := []string{string(c.Kind)}
	if c.Kind == vpk.CampaignKind && campaigns == 0 {
		parts = []string{"part of a campaign; this file does not list its maps"}
	}
	if c.Title != "" && c.Title != i.Title {
		parts = append(parts, "“"+c.Title+"”")
	}
	if c.Version != "" {
		parts = append(parts, "version "+c.Version)
	}
	if c.Author != "" {
		parts = append(parts, "by "+c.Author)
	}
	return strings.Join(parts, ", ")
}
