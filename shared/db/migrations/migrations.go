// Package migrations holds the schema of left4me's database and moves a database between its versions. Only localrun and
// the migration function use it: page functions never migrate.
package migrations

import (
	"context"
	"embed"
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
// The error names the migration that failed; those before it stand.
func Up(ctx context.Context, d *db.DB) ([]Step, error) {
	p, err := provider(d)
	if err != nil {
		return nil, fmt.Errorf("migrate up: %w", err)
	}
	results, err := p.Up(ctx)
	if err != nil {
		return steps(results), fmt.Errorf("migrate up: %w", err)
	}
	return steps(results), nil
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
