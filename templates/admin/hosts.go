package admin

import (
	"strings"

	"left4me/shared/host"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/page"
)

// HostsView is the page of all hosts.
type HostsView struct {
	page.Frame
	Hosts []host.Listed
}

// AskHostView is the page that asks before a host is removed.
type AskHostView struct {
	page.Frame
	Host host.Listed
}

// jobWords says how many jobs of h have not ended; empty for none.
func jobWords(h host.Listed) string {
	var words []string
	if h.Running > 0 {
		words = append(words, page.Number(h.Running)+" running")
	}
	if h.Waiting > 0 {
		words = append(words, page.Number(h.Waiting)+" waiting")
	}
	return strings.Join(words, ", ")
}

// installWords is the label of the button that installs the newest release.
func installWords(g host.Game) string {
	if g.BuildID == 0 {
		return "Install game"
	}
	return "Update game"
}

func failedOverlaysURL() string {
	return list.Query{State: overlay.Failed}.URL(route.OverlayList.URL())
}

// consequences are sentences about what removing the host does.
func (v AskHostView) consequences() []string {
	var all []string
	if n := v.Host.Waiting; n > 0 {
		all = append(all, page.Count(n, "waiting job")+" of this host will be cancelled.")
	}
	if n := v.Host.Running; n > 0 {
		all = append(all, page.Count(n, "job")+" that its agent has begun will be ended.")
	}
	if n := v.Host.Servers; n > 0 {
		all = append(all, page.Count(n, "server")+" of this host will be removed from left4me.")
	}
	return append(all,
		"Nothing waits for this host any more: overlays count as built, or as deleted, without it.",
		"The files on its disk stay.",
		"If its agent is started again, it becomes a new host, on which all overlays are built.")
}
