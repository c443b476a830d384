// Package webhook owns webhooks (P82): the URLs that are told what happens to an overlay, a server or the whole panel, what they are told, and
// how they answered.
//
// What happens is recorded where it happens, in the same transaction, by the functions of event.go. The job deliver_webhook sends it.
package webhook

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/problem"
)

// Format is what a webhook is sent.
type Format string

const (
	// JSON is an Event, signed.
	JSON Format = "json"
	// Discord is a message of Discord.
	Discord Format = "discord"
)

// Webhook is one row of webhooks.
type Webhook struct {
	ID int64
	// About is an overlay or a server, and AboutName its name; the zero Subject is everything.
	About     job.Subject
	AboutName string
	// OwnerID is whose that is; 0: administrators'.
	OwnerID int64
	URL     string `api:"-"` // which may be a secret
	// Host is the URL's, by which pages call the webhook.
	Host   string
	Format Format
	// Events are those that it wants.
	Events []Kind
	// Secret is the key of the signatures, as receivers get it.
	Secret string `api:"-"`
	// Private is whether an administrator has allowed addresses that are not public.
	Private   bool
	CreatedAt time.Time
	// Last is its newest delivery that was tried; the zero Delivery is none. Only List reads it.
	Last Delivery
}

// Editable returns nil if u may see, test and delete w, else a problem (403).
func (w Webhook) Editable(u account.User) error {
	if u.Admin || u.ID != 0 && w.OwnerID == u.ID {
		return nil
	}
	return problem.Forbidden("This webhook belongs to somebody else. Ask its owner or an administrator.")
}

// Store reads and writes webhooks.
type Store struct {
	db   *db.DB
	now  func() time.Time
	jobs *jobstore.Store
}

// NewStore returns a Store on d that takes the time from now and enqueues jobs in jobs.
func NewStore(d *db.DB, now func() time.Time, jobs *jobstore.Store) *Store {
	return &Store{db: d, now: now, jobs: jobs}
}

const (
	// MaxEach is how many webhooks an overlay, a server, or the panel may have.
	MaxEach = 10
	// URLLength is the longest URL, in bytes.
	URLLength = 1000
	// secretPrefix begins a secret, as standardwebhooks.com has it.
	secretPrefix = "whsec_"
)

// Form is what people choose about a new webhook.
type Form struct {
	URL     string
	Format  Format
	Events  []Kind
	Private bool
}

// check returns the URL's host; the error is a problem (400).
func (f *Form) check(u account.User, about job.Subject) (host string, err error) {
	f.URL = strings.TrimSpace(f.URL)
	to, err := url.Parse(f.URL)
	switch {
	case len(f.URL) > URLLength:
		return "", problem.Invalid("A URL has at most %d characters.", URLLength)
	case err != nil || to.Scheme != "https" && to.Scheme != "http" || to.Hostname() == "":
		return "", problem.Invalid("Please give the URL that is to be told, such as https://example.org/hook.")
	case to.User != nil:
		return "", problem.Invalid("A URL with a password cannot be used: left4me would show it. Receivers can check the signature instead.")
	case f.Format != JSON && f.Format != Discord:
		return "", problem.Invalid("Please choose a format from the list.")
	case len(f.Events) == 0:
		return "", problem.Invalid("Please tick at least one event.")
	case f.Private && !u.Admin:
		return "", problem.Forbidden("Only administrators may allow addresses that are not public.")
	}
	possible := Kinds(about.Kind)
	for _, e := range f.Events {
		if !slices.Contains(possible, e) {
			return "", problem.Invalid("There is no event “%s” here. Please choose from the list.", e)
		}
	}
	return to.Host, nil
}

// subjects select the overlay or the server :id, which can have webhooks.
var subjects = map[job.Kind]string{
	job.Overlays: `SELECT name, COALESCE(user_id, 0) FROM overlays WHERE id = :id AND deleted_at IS NULL`,
	job.Servers:  `SELECT name, user_id FROM servers WHERE id = :id AND deleted_at IS NULL`,
}

// Subject returns the name of what webhooks can be about, for somebody who may add some; the panel has none. The error is a problem: 404, or
// 403.
func (s *Store) Subject(ctx context.Context, u account.User, about job.Subject) (name string, err error) {
	if about == (job.Subject{}) {
		return "", Webhook{}.Editable(u)
	}
	w := Webhook{}
	_, err = db.Row(ctx, s.db, func(row db.Scanner) (struct{}, error) {
		return struct{}{}, row.Scan(&name, &w.OwnerID)
	}, subjects[about.Kind], sql.Named("id", about.ID))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", problem.NotFound("There is no %s. It may have been deleted.", strings.Replace(about.String(), ":", " ", 1))
	case err != nil:
		return "", fmt.Errorf("read %s: %w", about, err)
	case w.Editable(u) != nil:
		return "", problem.Forbidden("Only its owner and administrators see the webhooks of this %s.", about.Kind)
	}
	return name, nil
}

// Create adds a webhook about something for u. Errors are problems: 400 for a wrong form, 403, 404, or 409 if there are MaxEach already.
func (s *Store) Create(ctx context.Context, u account.User, about job.Subject, f Form) (id int64, err error) {
	if _, err := s.Subject(ctx, u, about); err != nil {
		return 0, err
	}
	host, err := f.check(u, about)
	if err != nil {
		return 0, err
	}
	events, err := json.Marshal(f.Events)
	if err != nil {
		return 0, err
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	id, err = db.Row(ctx, s.db, db.Value[int64], `INSERT INTO webhooks (overlay_id, server_id, user_id, url, host, format, events, secret, is_private, created_at)
		SELECT :overlay, :server, :user, :url, :host, :format, :events, :secret, :private, :now
		WHERE (SELECT COUNT(*) FROM webhooks WHERE overlay_id IS :overlay AND server_id IS :server) < :most RETURNING id`,
		append(aboutArgs(about), sql.Named("user", u.ID), sql.Named("url", f.URL), sql.Named("host", host), sql.Named("format", f.Format), sql.Named("events", string(events)),
			sql.Named("secret", secretPrefix+base64.StdEncoding.EncodeToString(secret)), sql.Named("private", f.Private), s.nowArg(), sql.Named("most", MaxEach))...)
	if errors.Is(err, sql.ErrNoRows) {
		err = problem.Conflict("There are %d webhooks here already. Please delete one that you do not need.", MaxEach)
	}
	return id, problem.Wrap(err, "add a webhook")
}

// aboutArgs are the parameters :overlay and :server, NULL for what it is not about.
func aboutArgs(about job.Subject) []any {
	id := func(k job.Kind) sql.NullInt64 { return sql.NullInt64{Int64: about.ID, Valid: about.Kind == k} }
	return []any{sql.Named("overlay", id(job.Overlays)), sql.Named("server", id(job.Servers))}
}

// Delete removes a webhook with its deliveries for u. The error is a problem (429) if u has done too much.
func (s *Store) Delete(ctx context.Context, u account.User, id int64) error {
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := account.CountAction(ctx, q, s.now(), u); err != nil {
			return err
		}
		return db.Later(ctx, q, `DELETE FROM webhooks WHERE id = :id`, sql.Named("id", id))
	})
	return problem.Wrap(u.Refused(err), "delete webhook %d", id)
}

const (
	columns = `w.id, CASE WHEN w.overlay_id IS NOT NULL THEN 'overlay' WHEN w.server_id IS NOT NULL THEN 'server' ELSE '' END, COALESCE(w.overlay_id, w.server_id, 0),
		COALESCE(o.name, s.name, ''), COALESCE(o.user_id, s.user_id, 0), w.url, w.host, w.format, w.events, w.secret, w.is_private, w.created_at`
	from = `webhooks w LEFT JOIN overlays o ON o.id = w.overlay_id AND o.deleted_at IS NULL LEFT JOIN servers s ON s.id = w.server_id AND s.deleted_at IS NULL`
	// exists leaves out webhooks of what has been deleted.
	exists = `(o.id IS NOT NULL OR s.id IS NOT NULL OR w.overlay_id IS NULL AND w.server_id IS NULL)`
)

func scan(row db.Scanner) (Webhook, error) { return scanWith(row) }

func scanWith(row db.Scanner, more ...any) (w Webhook, err error) {
	var events string
	err = row.Scan(append([]any{&w.ID, &w.About.Kind, &w.About.ID, &w.AboutName, &w.OwnerID, &w.URL, &w.Host, &w.Format, &events, &w.Secret, &w.Private, db.Moment(&w.CreatedAt)}, more...)...)
	if err == nil {
		err = json.Unmarshal([]byte(events), &w.Events)
	}
	return w, err
}

// Get returns the webhook with that id; the error is a problem (404) when there is none.
func (s *Store) Get(ctx context.Context, id int64) (Webhook, error) {
	w, err := db.Row(ctx, s.db, scan, `SELECT `+columns+` FROM `+from+` WHERE w.id = :id AND `+exists, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Webhook{}, problem.NotFound("There is no webhook %d. It may have been deleted.", id)
	}
	if err != nil {
		return Webhook{}, fmt.Errorf("read webhook %d: %w", id, err)
	}
	return w, nil
}

// Listing is the list of webhooks.
var Listing = list.Source[Webhook]{
	Columns: columns + `, d.attempted_at, d.next_at, d.delivered_at, COALESCE(d.answer, '')`,
	From:    from + ` LEFT JOIN webhook_deliveries d ON d.id = (SELECT MAX(id) FROM webhook_deliveries WHERE webhook_id = w.id AND attempts > 0)`,
	Where: exists + ` AND (:admin OR COALESCE(o.user_id, s.user_id) = :user) AND (:everything OR (w.overlay_id, w.server_id) IS (:overlay, :server))
		AND w.host LIKE :text ESCAPE '\'`,
	Key:     `w.id`,
	Order:   map[string]string{"": `w.host, w.id`, "host": `w.host`},
	Size:    200,
	Counted: true,
	Scan: func(row db.Scanner) (Webhook, error) {
		var last Delivery
		w, err := scanWith(row, db.Moment(&last.AttemptedAt), db.Moment(&last.NextAt), db.Moment(&last.DeliveredAt), &last.Answer)
		w.Last = last
		return w, err
	},
}

// List returns a page of the webhooks that u may see: all, or only those about one thing if everything is false.
func (s *Store) List(ctx context.Context, u account.User, everything bool, about job.Subject, q list.Query) (list.Page[Webhook], error) {
	page, err := Listing.Read(ctx, s.db, q, append(aboutArgs(about), sql.Named("admin", u.Admin), sql.Named("user", u.ID), sql.Named("everything", everything), q.TextArg())...)
	if err != nil {
		return page, fmt.Errorf("list webhooks: %w", err)
	}
	return page, nil
}

// nowArg is the parameter :now.
func (s *Store) nowArg() sql.NamedArg { return sql.Named("now", db.Millis(s.now())) }
