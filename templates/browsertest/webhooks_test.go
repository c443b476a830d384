package browsertest_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/a-h/templ"

	"left4me/shared/job"
	"left4me/shared/list"
	"left4me/shared/webhook"
	"left4me/templates/pagetest"
	webhookview "left4me/templates/webhook"
)

func someWebhook(id int64) webhook.Webhook {
	return webhook.Webhook{
		ID: id, About: job.Overlay(3), AboutName: "Friday night campaigns", OwnerID: 1, URL: "https://discord.com/api/webhooks/1234/" + strings.Repeat("secret", 12), Host: "discord.com",
		Format: webhook.Discord, Events: webhook.Kinds(job.Overlays), Secret: "whsec_" + strings.Repeat("A", 44), CreatedAt: now.Add(-50 * time.Hour),
		Last: webhook.Delivery{Attempts: 1, AttemptedAt: now.Add(-time.Hour), DeliveredAt: now.Add(-time.Hour), Answer: "Answered 204 No Content"},
	}
}

// webhooks returns the samples of pages about webhooks.
func webhooks() map[string]templ.Component {
	rows := []webhook.Webhook{someWebhook(1), someWebhook(2), someWebhook(3), someWebhook(4)}
	rows[1].Host, rows[1].AboutName, rows[1].Format = strings.Repeat("long-", 40)+".example", hostile, webhook.JSON
	rows[1].Last = webhook.Delivery{Attempts: 9, AttemptedAt: now.Add(-time.Minute), Answer: "Answered 503 Service Unavailable: " + hostile + strings.Repeat("x", 300)}
	rows[2].About, rows[2].AboutName, rows[2].Last = job.Server(3), turned, webhook.Delivery{}
	rows[3].About, rows[3].AboutName = job.Subject{}, ""
	rows[3].Last.DeliveredAt, rows[3].Last.NextAt = time.Time{}, now.Add(5*time.Minute)
	all := webhookview.ListView{Frame: frame(true), All: true, Webhooks: pagetest.Listed(rows...)}
	many := all
	many.Webhooks.Place = list.Place{Query: list.Query{Text: "disc", Page: 2}, Total: 999, Last: 5, More: true}
	ofOverlay := webhookview.ListView{Frame: frame(false), About: job.Overlay(3), AboutName: strings.Repeat("W", 64), Webhooks: pagetest.Listed(rows[0])}
	refused := webhookview.ListView{Frame: frame(true), About: job.Server(3), AboutName: hostile, Webhooks: pagetest.Listed[webhook.Webhook]()}
	refused.Create = webhookview.Form{Form: webhook.Form{URL: "hooks.example", Format: webhook.JSON, Events: []webhook.Kind{webhook.ServerCrashed}}, Error: "Please give the URL that is to be told, such as https://example.org/hook."}

	shown := webhookview.ShowView{Frame: frame(true), Webhook: someWebhook(1)}
	for n, k := range append(webhook.Kinds(job.System), webhook.Test) {
		d := webhook.Delivery{
			Event:    webhook.Event{ID: fmt.Sprint(n), Kind: k, At: now.Add(-time.Duration(n) * time.Hour), Overlay: &webhook.Named{ID: 3, Name: hostile}, Text: []string{"", strings.Repeat("long", 90), turned}[n%3]},
			Attempts: n % 10, CreatedAt: now.Add(-time.Duration(n) * time.Hour), Answer: []string{"Answered 204 No Content", "No answer: connection refused", "Answered 500 Internal Server Error: " + hostile}[n%3],
		}
		d.Event.Items = []webhook.Item{{SteamID: "3434972877", Title: hostile, Change: "new"}, {SteamID: "3434972878", Change: "removed"}}
		if n > 0 {
			d.AttemptedAt = d.CreatedAt
		}
		switch n % 3 {
		case 0:
			d.NextAt = now.Add(10 * time.Minute)
		case 1:
			d.DeliveredAt = d.AttemptedAt
		}
		shown.Deliveries = append(shown.Deliveries, d)
	}
	signed := webhookview.ShowView{Frame: frame(false), Webhook: rows[1]}
	signed.Webhook.Private = true
	return map[string]templ.Component{
		"webhook-list":         webhookview.List(all),
		"webhook-list-many":    webhookview.List(many),
		"webhook-list-none":    webhookview.List(webhookview.ListView{Frame: frame(false), All: true, Webhooks: pagetest.Listed[webhook.Webhook]()}),
		"webhook-list-overlay": webhookview.List(ofOverlay),
		"webhook-list-refused": webhookview.List(refused),
		"webhook-show":         webhookview.Show(shown),
		"webhook-show-signed":  webhookview.Show(signed),
	}
}
