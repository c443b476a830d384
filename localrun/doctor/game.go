package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/dustin/go-humanize"

	"left4me/localrun/heartbeat"
	"left4me/shared/game"
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
	if len(releases) == 0 {
		saw := "it is not installed; `localrun install` does that"
		if len(missing) > 0 {
			saw += ", after " + libraries
		}
		return Finding{"game", OK, fmt.Sprintf("%s, and two releases need about %s", saw, humanize.IBytes(2*game.ReleaseBytes)), ""}
	}
	newest := releases[len(releases)-1]
	saw := fmt.Sprintf("release %d is installed", newest.BuildID)
	if len(missing) > 0 {
		return Finding{"game", Warning, fmt.Sprintf("%s, but SteamCMD and servers lack 32-bit libraries (%s)", saw, strings.Join(missing, ", ")), libraries}
	}
	if _, free, err := heartbeat.DiskSpace(existing(s.Root)); err == nil && free < newest.Bytes {
		return Finding{"game", Warning, fmt.Sprintf("%s, but there is no room for another one of %s", saw, humanize.IBytes(uint64(newest.Bytes))), "make room, or updates of the game fail"}
	}
	return Finding{"game", OK, saw, ""}
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
