package game

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"left4me/shared/builder"
	"left4me/shared/durable"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
)

// Installer installs releases on this host.
type Installer struct {
	Disk
	Steam SteamCMD
	// User is the account that may install the game if that fails without one; empty for none.
	User string
	// Record records, as soon as the newest release is on the disk and before older ones are removed, that servers start with it.
	Record func(ctx context.Context, newest int64, onDisk []Release) error
	// InUse returns the builds that runs of servers use, which are not removed.
	InUse func(ctx context.Context) ([]int64, error)
	// Pause is the time between two attempts.
	Pause  time.Duration
	Report builder.Report
	// Free returns the free space in bytes on the disk of a directory.
	Free func(dir string) (int64, error)
}

const (
	silence = 10 * time.Minute
	pause   = 5 * time.Second
	// attempts is how often each way is tried.
	attempts = 3
	// ReleaseBytes is about the size of a release, for when Steam does not say it.
	ReleaseBytes = 10_000_000_000
	// minRoom is the least room that an update needs: SteamCMD downloads files beside those that they replace.
	minRoom = 1 << 30
)

// NewInstaller returns the Installer of the host with these settings. Its Record, InUse and Report are the caller's.
func NewInstaller(s settings.Settings) Installer {
	return Installer{
		Disk:  Disk{s.GameDir()},
		Steam: SteamCMD{Dir: s.SteamDir(), URL: s.SteamCMDURL, Program: s.SteamCMD, Silence: silence},
		User:  s.SteamUser,
		Pause: pause,
		Free:  free,
	}
}

func free(dir string) (int64, error) {
	var disk unix.Statfs_t
	err := unix.Statfs(dir, &disk)
	return int64(disk.Bavail) * int64(disk.Bsize), err
}

// Offer is the newest release that Steam offers.
type Offer struct {
	BuildID int64
	// Bytes is its size; 0: not known.
	Bytes int64
}

// common are the first arguments of each run. A failed command is to end the run, and not to be followed by the next one.
var common = []string{"+@ShutdownOnFailedCommand", "1", "+@NoPromptForPassword", "1"}

// way is a way to install the game.
type way struct {
	name string
	user string // the account; empty for none
	// windows: first download what the game has for Windows, and then replace it by what it has for Linux.
	windows bool
}

func (w way) args(dir string) []string {
	args := append(slices.Clone(common), "+force_install_dir", dir, "+login")
	if w.user == "" {
		args = append(args, "anonymous")
	} else {
		args = append(args, w.user)
	}
	if w.windows {
		args = append(args, "+@sSteamCmdForcePlatformType", "windows", "+app_update", App, "+@sSteamCmdForcePlatformType", "linux")
	}
	return append(args, "+app_update", App, "validate", "+quit")
}

// ways are all ways, in the order in which they are tried.
func (i Installer) ways() []way {
	all := []way{{name: "without an account"}, {name: "without an account, by way of Windows", windows: true}}
	if i.User != "" {
		all = append(all, way{name: "as " + i.User, user: i.User})
	}
	return all
}

// Install installs the newest release, unless it is there, records it, and then removes those that are not needed any more. It returns the
// newest release and all that are on the disk. If the newest one cannot be installed, all releases are as they were; what was downloaded
// is kept, and the next Install goes on with it. All errors may be shown to people.
func (i Installer) Install(ctx context.Context) (newest int64, all []Release, err error) {
	newest, err = i.install(ctx)
	if err == nil {
		all, err = i.Releases(ctx)
	}
	if err == nil {
		err = i.Record(ctx, newest, all)
	}
	if err == nil {
		all, err = i.removeUnused(ctx, newest, all)
	}
	return newest, all, i.explain(ctx, err)
}

// explain returns err for people. If ctx has ended, that is its cause.
func (i Installer) explain(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return errors.New(noSpace)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fmt.Errorf("%s (%w)", cannotWrite, durable.Cause(err))
	}
	if path, ok := err.(*fs.PathError); ok {
		return fmt.Errorf("%s %s: %w", path.Op, filepath.Base(path.Path), path.Err)
	}
	return err
}

func (i Installer) install(ctx context.Context) (newest int64, err error) {
	if err := os.MkdirAll(filepath.Join(i.Dir, releasesName), 0o755); err != nil {
		return 0, err
	}
	if err := i.clean(); err != nil {
		return 0, err
	}
	offer, err := i.Newest(ctx)
	if failed, ok := errors.AsType[*failure](err); ok && failed.remedy != somebody {
		i.Report.Warnf("Steam does not say which release is the newest: %v", err)
	} else if err != nil {
		return 0, err
	}
	onDisk, err := i.Releases(ctx)
	if err != nil {
		return 0, err
	}
	if slices.ContainsFunc(onDisk, func(r Release) bool { return r.BuildID == offer.BuildID }) {
		i.Report.Infof("release %d is installed, and Steam offers no other", offer.BuildID)
		return offer.BuildID, os.RemoveAll(i.installing())
	}
	if err := i.prepare(ctx, onDisk, offer); err != nil {
		return 0, err
	}
	if err := i.try(ctx); err != nil {
		return 0, err
	}
	return i.finish()
}

// prepare makes the directory `installing`, unless an interrupted run has left one, and checks that there is room for the rest.
func (i Installer) prepare(ctx context.Context, onDisk []Release, offer Offer) error {
	need := offer.Bytes
	if need == 0 {
		need = ReleaseBytes
	}
	have, err := size(ctx, i.installing())
	if err != nil {
		return err
	}
	if have > 0 {
		i.Report.Infof("going on with an install that was interrupted: %s are there", humanize.IBytes(uint64(have)))
	} else if n := len(onDisk); n > 0 {
		latest := onDisk[n-1]
		i.Report.Infof("starting with a copy of release %d", latest.BuildID)
		if err := os.RemoveAll(i.installing()); err != nil { // empty directories, which the copy could not replace
			return err
		}
		err := i.copyRelease(ctx, latest, i.room, func(bytes int64) {
			i.Report.Progress(jobstore.Progress{BytesDone: bytes, BytesTotal: latest.Bytes, Current: "the release before, copied"})
		})
		if err != nil {
			return err
		}
		have = latest.Bytes
	}
	return i.room(max(need-have, minRoom))
}

// room returns an error if the disk has no room for so many bytes.
func (i Installer) room(bytes int64) error {
	left, err := i.Free(i.Dir)
	if err == nil && left < bytes {
		return fmt.Errorf("the game needs %s on the disk of LEFT4ME_ROOT, where only %s are free. Make room, and install again", humanize.IBytes(uint64(bytes)), humanize.IBytes(uint64(left)))
	}
	return err
}

// try downloads the newest release into `installing`, in all ways until one succeeds.
func (i Installer) try(ctx context.Context) error {
	var failed *failure
	for _, w := range i.ways() {
		for attempt := 1; attempt <= attempts; attempt++ {
			if failed != nil {
				if err := wait(ctx, i.Pause); err != nil {
					return err
				}
			}
			i.Report.Infof("installing the game %s, attempt %d/%d", w.name, attempt, attempts)
			err := i.attempt(ctx, w)
			if err == nil {
				return nil
			}
			isFailure := false
			if failed, isFailure = errors.AsType[*failure](err); !isFailure {
				return err
			}
			i.Report.Warnf("installing the game %s, attempt %d/%d failed: %v", w.name, attempt, attempts, failed)
			if failed.remedy == somebody {
				return failed
			}
			if failed.remedy == startOver {
				if err := os.RemoveAll(i.installing()); err != nil {
					return err
				}
			}
		}
		if failed.remedy != another {
			return failed
		}
	}
	if i.User == "" {
		return fmt.Errorf("%w. All ways without an account have failed. Install again later, or set STEAM_USER to an account that owns Left 4 Dead 2, and run `localrun steam-login` on this host", failed)
	}
	return failed
}

// attempt runs SteamCMD once to download the newest release into `installing`. An error that another attempt may mend is a *failure.
func (i Installer) attempt(ctx context.Context, w way) error {
	if err := i.ensureManifest(); err != nil {
		return err
	}
	var out output
	current := ""
	status, err := i.Steam.run(ctx, func(line string) {
		p, isProgress := out.read(line)
		if !isProgress {
			i.Report.Infof("steamcmd: %s", strings.TrimSpace(line))
			return
		}
		i.Report.Progress(p)
		if p.Current != current {
			current = p.Current
			i.Report.Infof("steamcmd: %s", strings.TrimSpace(line))
		}
	}, w.args(i.installing())...)
	if err := ended(err); err != nil {
		return err
	}
	if f := out.failure(status, w.user); f != nil {
		return f
	}
	if _, err := i.installed(); err != nil {
		return &failure{"SteamCMD says that the game is installed, but " + err.Error(), another}
	}
	return nil
}

// ended turns an error of SteamCMD.run into a *failure, unless the run was to end.
func ended(err error) error {
	_, killed := errors.AsType[*exec.ExitError](err)
	switch {
	case errors.Is(err, errSilent):
		return &failure{"SteamCMD was stuck: it wrote nothing for a long time, and was ended", again}
	case killed:
		return &failure{"SteamCMD was ended: " + err.Error(), again}
	}
	return err
}

// ensureManifest writes a manifest of a game of which nothing is installed, unless there is one. With it, Steam lets the game be
// installed for Linux. Without its directory, SteamCMD fails to write to the disk.
func (i Installer) ensureManifest() error {
	path := filepath.Join(i.installing(), manifestName)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	err := durable.WriteNew(path, `"AppState"
{
	"appid"		"`+App+`"
	"Universe"		"1"
	"name"		"Left 4 Dead 2 Dedicated Server"
	"StateFlags"		"2"
	"installdir"		"Left 4 Dead 2 Dedicated Server"
	"buildid"		"0"
}
`)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// installed returns the build in `installing`. The error says in what way it is not complete.
func (i Installer) installed() (build int64, err error) {
	text, err := os.ReadFile(filepath.Join(i.installing(), manifestName))
	if err != nil {
		return 0, fmt.Errorf("its manifest cannot be read: %w", durable.Cause(err))
	}
	manifest := keyValues(string(text))
	get := func(name string) string { return manifest["appstate/"+name] }
	build, err = strconv.ParseInt(get("buildid"), 10, 64)
	switch {
	case get("stateflags") != "4":
		return 0, fmt.Errorf("its manifest has the state %q instead of 4", get("stateflags"))
	case get("bytestodownload") != get("bytesdownloaded"):
		return 0, fmt.Errorf("only %s of %s bytes are downloaded", get("bytesdownloaded"), get("bytestodownload"))
	case get("bytestostage") != get("bytesstaged"):
		return 0, fmt.Errorf("only %s of %s bytes are in place", get("bytesstaged"), get("bytestostage"))
	case err != nil || build <= 0:
		return 0, fmt.Errorf("its manifest has the build %q", get("buildid"))
	}
	for _, name := range []string{"srcds_run", "srcds_linux", "left4dead2"} {
		if _, err := os.Stat(filepath.Join(i.installing(), name)); err != nil {
			return 0, fmt.Errorf("%s is missing, as if it were that for Windows", name)
		}
	}
	return build, nil
}

// clientName is where the game looks in its home directory for the library without which Steam does not list the server.
var clientName = filepath.Join(".steam", "sdk32", "steamclient.so")

// finish makes a release of what is in `installing`, and returns its build.
func (i Installer) finish() (build int64, err error) {
	if build, err = i.installed(); err != nil {
		return 0, err
	}
	if _, err := os.Stat(i.Release(build)); err == nil {
		i.Report.Infof("release %d is installed, and Steam offers no other", build)
		return build, os.RemoveAll(i.installing())
	}
	if err := i.addClient(); err != nil {
		return 0, err
	}
	if err := syncAll(i.Dir); err != nil {
		return 0, err
	}
	if err := durable.RenameNew(i.installing(), i.Release(build)); err != nil {
		return 0, err
	}
	i.Report.Infof("release %d is installed", build)
	return build, durable.Sync(i.Dir)
}

// addClient copies SteamCMD's library for game servers into `installing`.
func (i Installer) addClient() error {
	to := filepath.Join(i.installing(), clientName)
	if err := os.RemoveAll(to); err != nil { // that of the release before
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	err := durable.Copy(filepath.Join(i.Steam.Dir, "linux32", "steamclient.so"), to, func(to, from *os.File) error {
		_, err := io.Copy(to, from)
		return errors.Join(err, to.Chmod(0o755))
	})
	if errors.Is(err, fs.ErrNotExist) {
		i.Report.Warnf("SteamCMD has no linux32/steamclient.so, without which Steam does not list servers")
		return nil
	}
	return err
}

// syncAll waits until everything on the disk of a directory has been written.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// removeUnused removes the releases that no run uses, except the newest, and returns the others.
func (i Installer) removeUnused(ctx context.Context, newest int64, onDisk []Release) (kept []Release, err error) {
	used, err := i.InUse(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range onDisk {
		if r.BuildID == newest || slices.Contains(used, r.BuildID) {
			kept = append(kept, r)
			continue
		}
		if err := i.remove(r.BuildID); err != nil {
			return nil, err
		}
		i.Report.Infof("removed release %d, which no server uses", r.BuildID)
	}
	return kept, nil
}

// Newest asks Steam for the newest release. All errors may be shown to people.
func (i Installer) Newest(ctx context.Context) (o Offer, err error) {
	if downloaded, err := i.Steam.download(ctx); err != nil {
		return o, fmt.Errorf("download SteamCMD: %w", i.explain(ctx, err))
	} else if downloaded {
		i.Report.Infof("SteamCMD is downloaded")
	}
	for attempt := 1; ; attempt++ {
		o, err = i.newest(ctx)
		if f, ok := errors.AsType[*failure](err); !ok || f.remedy == somebody || attempt == attempts {
			return o, err
		}
		if err := wait(ctx, i.Pause); err != nil {
			return o, err
		}
	}
}

// newest is one attempt of Newest.
func (i Installer) newest(ctx context.Context) (Offer, error) {
	var out output
	var info strings.Builder
	// Without an update, SteamCMD shows what it remembers. What it does not know yet it only asks for, so it is told to show it twice.
	status, err := i.Steam.run(ctx, func(line string) {
		out.read(line)
		if strings.TrimSpace(line) == `"`+App+`"` {
			info.Reset()
		}
		if info.Len() < maxInfo {
			info.WriteString(line + "\n")
		}
	}, "+@NoPromptForPassword", "1", "+login", "anonymous", "+app_info_update", "1", "+app_info_print", App, "+app_info_print", App, "+quit")
	if err := ended(err); err != nil {
		return Offer{}, err
	}
	o := offer(info.String())
	if o.BuildID > 0 {
		return o, nil
	}
	out.installed = true // nothing was to be installed
	if f := out.failure(status, ""); f != nil {
		return Offer{}, f
	}
	return Offer{}, &failure{"SteamCMD does not show the newest release of the game: " + out.last, again}
}

// maxInfo limits what is kept of SteamCMD's information about the game. It has some 10 kB.
const maxInfo = 1 << 20

// offer reads what SteamCMD shows of the app: the build of its public branch, and the size of the depots for Linux.
func offer(info string) (o Offer) {
	values := keyValues(info)
	const depots = App + "/depots/"
	o.BuildID, _ = strconv.ParseInt(values[depots+"branches/public/buildid"], 10, 64) // 0: not known
	for path, value := range values {
		depot, found := strings.CutSuffix(path, "/manifests/public/size")
		if systems := values[depot+"/config/oslist"]; found && strings.HasPrefix(path, depots) && (systems == "" || strings.Contains(systems, "linux")) {
			bytes, _ := strconv.ParseInt(value, 10, 64)
			o.Bytes += bytes
		}
	}
	return o
}

// wait returns after d, or the cause if ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
