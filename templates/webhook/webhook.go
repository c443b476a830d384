// Package webhook owns the views of webhooks: the list with the form for a new one, and the page of one with its deliveries.
package webhook

import (
	"net/url"
	"slices"
	"strconv"

	"left4me/shared/job"
	"left4me/shared/list"
	"left4me/shared/route"
	"left4me/shared/webhook"
	"left4me/templates/page"
)

// The field of a form on the page of a webhook, and its values.
const (
	ActionField = "action"
	TestAction  = "test"
	Delete      = "delete"
)

// Form is the form for a new webhook as it was sent, with why it was refused.
type Form struct {
	webhook.Form
	// Error is empty the first time.
	Error string
}

// ListView is the list of webhooks.
type ListView struct {
	page.Frame
	Webhooks list.Page[webhook.Webhook]
	// About is what those on the page are about, and AboutName its name. If All is true, they are all that the person may see, and About is
	// the panel.
	About     job.Subject
	AboutName string
	All       bool
	Create    Form `api:"-"`
}

// ShowView is the page of one webhook.
type ShowView struct {
	page.Frame
	Webhook    webhook.Webhook
	Deliveries []webhook.Delivery
}

// URL returns the path of the list of the webhooks about something.
func URL(about job.Subject) string {
	if about == (job.Subject{}) {
		return route.WebhookList.URL()
	}
	return route.WebhookList.URL() + "?" + url.Values{string(about.Kind): {strconv.FormatInt(about.ID, 10)}}.Encode()
}

func (v ListView) titled() page.Frame {
	v.Frame.Title = "Webhooks"
	if v.AboutName != "" {
		v.Frame.Title += " of " + v.AboutName
	}
	v.Frame.Section = section(v.About)
	return v.Frame
}

func (v ListView) list() page.List {
	return page.List{ID: "webhooks", Place: v.Webhooks.Place, Path: route.WebhookList.URL(), One: "webhook", Many: "webhooks"}
}

// creates is whether the page has the form.
func (v ListView) creates() bool { return !v.All || v.User.Admin }

// ticked is whether the box of an event is ticked.
func (v ListView) ticked(k webhook.Kind) bool {
	return v.Create.Error == "" || slices.Contains(v.Create.Events, k)
}

func (v ShowView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = "Webhook "+v.Webhook.Host, section(v.Webhook.About)
	return v.Frame
}

// subjectURL is the path of the page of what webhooks are about.
func subjectURL(about job.Subject) string {
	switch about.Kind {
	case job.Overlays:
		return route.OverlayShow.URL(about.ID)
	case job.Servers:
		return route.ServerShow.URL(about.ID)
	}
	return route.AdminHome.URL()
}

func section(about job.Subject) page.Section {
	switch about.Kind {
	case job.Overlays:
		return page.Overlays
	case job.Servers:
		return page.Servers
	}
	return page.Administration
}

// formatTitle is the name of a format on pages.
func formatTitle(f webhook.Format) string {
	if f == webhook.Discord {
		return "Discord"
	}
	return "JSON, signed"
}

// state is how far a delivery is, and the tone of that word.
func state(d webhook.Delivery) (word, tone string) {
	switch {
	case !d.DeliveredAt.IsZero():
		return "delivered", "good"
	case !d.NextAt.IsZero():
		return "waiting", "waits"
	}
	return "given up", "bad"
}
