// Package migrations holds the schema of left4me's database and moves a database between its versions. Only localrun and
// the migration function use it: page functions never migrate.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"

	"left4me/shared/db"
)

//go:embed *.sql
var files embed.FS

// Step is one migration that was applied or taken back.
type Step struct {
	Version  int64
	File     string
	Duration time.Duration
}

// Status is one migration and whether the database has it.
type Status struct {
	Version int64
	File    string
	// AppliedAt is zero for one that is pending.
	AppliedAt time.Time
}

func provider(d *db.DB) (*goose.Provider, error) {
	return goose.NewProvider(goose.DialectTurso, d.DB, files)
}

// Up applies every pending migration, oldest first, and returns what it did: nothing for a database that is current.
// The error names the migration that failed; those before it stand. Several processes may do it at once: a migration and the
// note that the database has it are one transaction.
func Up(ctx context.Context, d *db.DB) ([]Step, error) {
	done, err := up(ctx, d)
	if err != nil {
		return done, fmt.Errorf("migrate up: %w", err)
	}
	return done, nil
}

func up(ctx context.Context, d *db.DB) (done []Step, err error) {
	p, err := provider(d)
	if err != nil {
		return nil, err
	}
	for {
		results, err := p.Up(ctx)
		partial, ok := errors.AsType[*goose.PartialError](err)
		if !ok {
			return append(done, steps(results)...), err
		}
		done = append(done, steps(partial.Applied)...)
		applied, lookErr := versions(ctx, d)
		if lookErr != nil || !applied[partial.Failed.Source.Version] {
			return done, err
		}
		// Another process was quicker, or we have not heard that it went well.
	}
}

// Down takes back the newest applied migration.
func Down(ctx context.Context, d *db.DB) ([]Step, error) {
	p, err := provider(d)
	if err != nil {
		return nil, fmt.Errorf("migrate down: %w", err)
	}
	result, err := p.Down(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate down: %w", err)
	}
	return steps([]*goose.MigrationResult{result}), nil
}

// List returns every migration, oldest first.
func List(ctx context.Context, d *db.DB) ([]Status, error) {
	p, err := provider(d)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	found, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	list := make([]Status, 0, len(found))
	for _, s := range found {
		list = append(list, Status{Version: s.Source.Version, File: s.Source.Path, AppliedAt: s.AppliedAt})
	}
	return list, nil
}

// Pending returns the files of the migrations that the database lacks, oldest first, and whether it has any that this
// program does not know, which a newer one has left. Unlike List it changes nothing in a database that has none yet.
func Pending(ctx context.Context, d *db.DB) (pending []string, newer bool, err error) {
	p, err := provider(d)
	if err != nil {
		return nil, false, fmt.Errorf("migration status: %w", err)
	}
	applied, err := versions(ctx, d)
	if err != nil {
		return nil, false, fmt.Errorf("migration status: %w", err)
	}
	for _, s := range p.ListSources() {
		if !applied[s.Version] {
			pending = append(pending, s.Path)
		}
		delete(applied, s.Version)
	}
	delete(applied, 0) // goose's own
	return pending, len(applied) > 0, nil
}

// versions are what goose has written down.
func versions(ctx context.Context, d *db.DB) (map[int64]bool, error) {
	applied := map[int64]bool{}
	var begun bool
	err := d.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version')`).Scan(&begun)
	if err != nil || !begun {
		return applied, err
	}
	rows, err := d.QueryContext(ctx, `SELECT version_id FROM goose_db_version WHERE is_applied`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var version int64
		if err := rows.Scan(&version); err != nil {
			return nil, err
		}
		applied[version] = true
	}
	return applied, rows.Err()
}

func steps(results []*goose.MigrationResult) []Step {
	var done []Step
	for _, r := range results {
		if r == nil || r.Error != nil {
			continue
		}
		done = append(done, Step{Version: r.Source.Version, File: r.Source.Path, Duration: r.Duration})
	}
	return done
}
