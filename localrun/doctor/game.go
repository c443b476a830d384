package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/dustin/go-humanize"

	"left4me/shared/db"
	"left4me/shared/game"
	"left4me/shared/game/control"
	"left4me/shared/jobstore"
	"left4me/shared/server"
	"left4me/shared/settings"
)

// game checks that the game can be installed, and that there is room for a newer release beside the one that servers use.
func (h Host) game(ctx context.Context, s settings.Settings) Finding {
	releases, err := game.Disk{Dir: s.GameDir()}.Releases(ctx)
	if err != nil {
		return Finding{"game", Failed, err.Error(), toWrite(s.GameDir(), err)}
	}
	const libraries = "`sudo apt install lib32gcc-s1 lib32stdc++6`"
	missing := h.Libraries()
	_, free, err := h.DiskSpace(existing(s.Root))
	if len(releases) == 0 {
		saw := "it is not installed; `localrun install` does that"
		if len(missing) > 0 {
			saw += ", after " + libraries
		}
		saw = fmt.Sprintf("%s, and two releases need about %s", saw, humanize.IBytes(2*game.ReleaseBytes))
		if err == nil && free < 2*game.ReleaseBytes {
			return Finding{"game", Warning, fmt.Sprintf("%s, but only %s are free", saw, humanize.IBytes(uint64(free))), "make room before you install it, unless this host is for overlays alone"}
		}
		return Finding{"game", OK, saw, ""}
	}
	newest := releases[len(releases)-1]
	saw := fmt.Sprintf("release %d is installed", newest.BuildID)
	if len(missing) > 0 {
		return Finding{"game", Warning, fmt.Sprintf("%s, but SteamCMD and servers lack 32-bit libraries (%s)", saw, strings.Join(missing, ", ")), libraries}
	}
	if err == nil && free < newest.Bytes {
		return Finding{"game", Warning, fmt.Sprintf("%s, but there is no room for another one of %s", saw, humanize.IBytes(uint64(newest.Bytes))), "make room, or updates of the game fail"}
	}
	return Finding{"game", OK, saw, ""}
}

// servers checks that something can keep game servers on this host.
func (h Host) servers(ctx context.Context, s settings.Settings) Finding {
	keeper, p := h.Servers(ctx, s)
	if p.Why != "" {
		return Finding{"servers", Warning, "none can be started here: " + p.Why, p.Do}
	}
	return Finding{"servers", OK, keeper + " can keep them", ""}
}

// ports checks that no other program has the port of a server of this host that is off.
func (h Host) ports(ctx context.Context, d *db.DB, hostID string) ([]Finding, error) {
	off, err := server.NewStore(d, h.Now, jobstore.NewStore(d, h.Now)).Off(ctx, hostID)
	var found []Finding
	for _, s := range off {
		if err := control.CheckPort(s.Port); err != nil {
			found = append(found, Finding{"ports", Warning, fmt.Sprintf("server '%s' cannot be started: %v", s.Name, err), "see whose it is with `sudo ss -lntup`"})
		}
	}
	return found, err
}

// Libraries32 returns the libraries that SteamCMD and the game need and that this host lacks: none on processors on which neither runs.
func Libraries32() (missing []string) {
	if runtime.GOARCH != "amd64" {
		return nil
	}
	for _, name := range []string{"ld-linux.so.2", "libgcc_s.so.1", "libstdc++.so.6"} {
		found := false
		for _, dir := range []string{"/lib", "/lib32", "/usr/lib32", "/lib/i386-linux-gnu", "/usr/lib/i386-linux-gnu"} {
			_, err := os.Stat(filepath.Join(dir, name))
			found = found || err == nil
		}
		if !found {
			missing = append(missing, name)
		}
	}
	return missing
}
