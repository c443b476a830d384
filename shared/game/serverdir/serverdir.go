// Package serverdir owns the directories of game servers, LEFT4ME_ROOT/servers/{id}: what the game writes (files, work), and what each run
// of a server starts with (runs/{run_id}), which does not change until the run has ended (servers.md P55, P57).
//
// It knows no processes. Callers see to it that nothing of a run that is alive is removed.
package serverdir

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"left4me/shared/durable"
	"left4me/shared/game/launch"
	"left4me/shared/jobstore"
	"left4me/shared/owned"
	"left4me/shared/server"
)

// Dir is the directory of one server.
type Dir struct{ owned.Directory }

// Of returns the directory of a server below root, which is LEFT4ME_ROOT.
func Of(root string, s server.Server) Dir {
	marker, _ := json.Marshal(struct { // numbers and strings always have a JSON form
		ServerID int64  `json:"server_id"`
		UID      string `json:"uid"`
	}{s.ID, s.UID})
	return Dir{owned.Directory{
		Parent: filepath.Join(root, launch.Servers), ID: s.ID, Kind: "server", Name: s.Name, Marker: string(marker) + "\n", Retry: "try again",
	}}
}

// Path is the path of something inside the directory.
func (d Dir) Path(elements ...string) string {
	return filepath.Join(append([]string{d.Parent, strconv.FormatInt(d.ID, 10)}, elements...)...)
}

// Run is the path of something inside the directory of a run.
func (d Dir) Run(id int64, elements ...string) string {
	return d.Path(append([]string{launch.Runs, strconv.FormatInt(id, 10)}, elements...)...)
}

// Make makes the directory and those inside it that are missing, and reports whether it was missing. recorded is whether the database says
// that it was made; see owned.Directory.Ensure.
func (d Dir) Make(recorded bool) (made bool, err error) {
	if made, err = d.Ensure(recorded); err != nil {
		return false, err
	}
	for _, name := range []string{launch.Files, launch.Work, launch.Runs} {
		if err := os.Mkdir(d.Path(name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return false, fmt.Errorf("make servers/%d/%s: %w", d.ID, name, durable.Cause(err))
		}
	}
	return made, nil
}

// Layer is the path, below LEFT4ME_ROOT, of the layer that Freeze makes of an overlay.
func (d Dir) Layer(run, overlayID int64) string {
	return filepath.Join(filepath.Base(d.Parent), strconv.FormatInt(d.ID, 10), launch.Runs, strconv.FormatInt(run, 10), Layers, strconv.FormatInt(overlayID, 10))
}

// passwordFile has, in the directory of a run, the password with which its game takes commands over the network (RCON).
const passwordFile = "rcon_password"

// Write writes the plan of a run, with a layer on top of the others that has the game's server.cfg. It adds a random password for RCON to that.
func (d Dir) Write(plan launch.Plan, serverConfig []byte) error {
	const config = "config"
	password := rand.Text()
	serverConfig = fmt.Appendf(slices.Clip(serverConfig), "rcon_password \"%s\"\n", password)
	plan.Layers = append([]string{filepath.Join(filepath.Dir(d.Layer(plan.RunID, 0)), "..", config)}, plan.Layers...)
	text, err := json.MarshalIndent(plan, "", "\t")
	if err != nil {
		return err
	}
	cfg := d.Run(plan.RunID, config, "left4dead2", "cfg")
	err = os.MkdirAll(cfg, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(cfg, "server.cfg"), serverConfig, 0o600) // it may have a password
	}
	if err == nil {
		err = os.WriteFile(d.Run(plan.RunID, passwordFile), []byte(password), 0o600)
	}
	if err == nil {
		err = os.WriteFile(d.Run(plan.RunID, launch.PlanFile), text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the plan of run %d of server %d: %w", plan.RunID, d.ID, durable.Cause(err))
	}
	return nil
}

// ErrNoPassword means that a run has no password for RCON: its game has rejected it, or an older left4me has started the run.
var ErrNoPassword = errors.New("left4me does not know the game's password for RCON any more; restart the server")

// Password returns the password for RCON of a run's game. The error is ErrNoPassword, or about the file.
func (d Dir) Password(run int64) (string, error) {
	text, err := os.ReadFile(d.Run(run, passwordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNoPassword
	}
	return string(text), err
}

// ForgetPassword makes sure that a password that the game has rejected is not tried again: it bans those who do.
func (d Dir) ForgetPassword(run int64) error {
	if err := os.Remove(d.Run(run, passwordFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the password of run %d: %w", run, durable.Cause(err))
	}
	return nil
}

// Use makes a run the one that the launcher starts.
func (d Dir) Use(run int64) error {
	next := d.Path(launch.Current + ".new")
	err := os.WriteFile(next, []byte(strconv.FormatInt(run, 10)+"\n"), 0o644)
	if err == nil {
		err = durable.Sync(next)
	}
	if err == nil {
		err = durable.Rename(next, d.Path(launch.Current))
	}
	if err != nil {
		return fmt.Errorf("make run %d that of server %d: %w", run, d.ID, durable.Cause(err))
	}
	return nil
}

// Current returns the run that Use has named last.
func (d Dir) Current() (run int64, err error) {
	text, err := os.ReadFile(d.Path(launch.Current))
	if err == nil {
		run, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	if err != nil {
		return 0, fmt.Errorf("read which run is that of server %d: %w", d.ID, durable.Cause(err))
	}
	return run, nil
}

// RemoveRuns removes the directories of all runs but the one with the id keep; 0 for none.
func (d Dir) RemoveRuns(keep int64) error {
	entries, err := os.ReadDir(d.Path(launch.Runs))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the runs of server %d: %w", d.ID, durable.Cause(err))
	}
	for _, e := range entries {
		if id, err := strconv.ParseInt(e.Name(), 10, 64); err == nil && id != keep {
			if err := os.RemoveAll(d.Path(launch.Runs, e.Name())); err != nil {
				return fmt.Errorf("remove run %d of server %d: %w", id, d.ID, durable.Cause(err))
			}
		}
	}
	return nil
}

// Written counts the files that the game wrote.
func (d Dir) Written(ctx context.Context) (w server.Written, err error) {
	err = filepath.WalkDir(d.Path(launch.Files), func(path string, e fs.DirEntry, err error) error {
		// A device is how the kernel remembers that the game has removed a file of a layer.
		if err == nil && !e.IsDir() && e.Type()&fs.ModeDevice == 0 {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				w.Files, w.Bytes = w.Files+1, w.Bytes+info.Size()
			}
		}
		return errors.Join(err, ctx.Err())
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return w, fmt.Errorf("look at servers/%d/%s: %w", d.ID, launch.Files, durable.Cause(err))
	}
	return w, nil
}

// Reset empties the directory of what the game wrote, and reports how much that was. The game must not be running.
func (d Dir) Reset(ctx context.Context, report owned.Report) error {
	gone, err := d.Written(ctx)
	if err != nil {
		return err
	}
	report.Progress(jobstore.Progress{BytesTotal: gone.Bytes})
	for _, name := range []string{launch.Files, launch.Work} {
		err := os.RemoveAll(d.Path(name))
		if err == nil {
			err = os.Mkdir(d.Path(name), 0o755)
		}
		if err != nil {
			return fmt.Errorf("empty servers/%d/%s: %w", d.ID, name, durable.Cause(err))
		}
	}
	report.Infof("server '%s': %d files with %d bytes that the game wrote are removed", d.Name, gone.Files, gone.Bytes)
	return nil
}
