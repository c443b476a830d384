// Package migrations holds the schema of left4me's database and migrates a database between its versions. Only localrun and
// the migration function use it. Page functions never migrate.
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

// Step is one migration that was applied or reverted.
type Step struct {
	Version  int64
	File     string
	Duration time.Duration
}

// Status is the state of one migration in a database.
type Status struct {
	Version int64
	File    string
	// AppliedAt is zero if the migration is pending.
	AppliedAt time.Time
}

func provider(d *db.DB) (*goose.Provider, error) {
	p, err := goose.NewProvider(goose.DialectTurso, d.DB, files)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

// Up applies all pending migrations, oldest first, and returns those that it applied. The error names the migration that
// failed; the earlier ones stay applied. Several processes may call it at once, because each transaction both migrates and
// records the new version.
func Up(ctx context.Context, d *db.DB) (done []Step, err error) {
	p, err := provider(d)
	if err != nil {
		return nil, err
	}
	for {
		results, err := p.Up(ctx)
		partial, isPartial := errors.AsType[*goose.PartialError](err)
		if isPartial {
			results = partial.Applied
		}
		done = append(done, steps(results)...)
		if err == nil {
			return done, nil
		}
		if isPartial {
			applied, versionsErr := appliedVersions(ctx, d)
			if versionsErr == nil && applied[partial.Failed.Source.Version] {
				continue // another process applied it first, or the answer to our own commit was lost
			}
		}
		return done, fmt.Errorf("migrate up: %w", err)
	}
}

// Down reverts the newest applied migration.
func Down(ctx context.Context, d *db.DB) ([]Step, error) {
	p, err := provider(d)
	if err != nil {
		return nil, err
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
		return nil, err
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

// Pending returns the files of the migrations that the database lacks, oldest first. newer reports whether the database has
// migrations that this program does not know, from a newer version. Unlike List it does not create goose's table.
func Pending(ctx context.Context, d *db.DB) (pending []string, newer bool, err error) {
	p, err := provider(d)
	if err != nil {
		return nil, false, err
	}
	applied, err := appliedVersions(ctx, d)
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

// appliedVersions reads goose's table, if the database has it.
func appliedVersions(ctx context.Context, d *db.DB) (map[int64]bool, error) {
	applied := map[int64]bool{}
	exists, err := db.Row(ctx, d, db.Value[bool], `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version')`)
	if err != nil || !exists {
		return applied, err
	}
	versions, err := db.Rows(ctx, d, db.Value[int64], `SELECT version_id FROM goose_db_version WHERE is_applied`)
	for _, v := range versions {
		applied[v] = true
	}
	return applied, err
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
