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
	saw, need := "it is not installed", int64(2*game.ReleaseBytes)
	if n := len(releases); n > 0 {
		saw, need = fmt.Sprintf("release %d is installed", releases[n-1].BuildID), releases[n-1].Bytes
	}
	if missing := h.Libraries(); len(missing) > 0 {
		return Finding{"game", Warning, fmt.Sprintf("%s; SteamCMD and servers lack 32-bit libraries (%s)", saw, strings.Join(missing, ", ")),
			"`sudo apt install lib32gcc-s1 lib32stdc++6`, if this host is to run game servers"}
	}
	_, free, err := heartbeat.DiskSpace(existing(s.Root))
	if err == nil && free < need && len(releases) > 0 {
		return Finding{"game", Warning, fmt.Sprintf("%s; there is no room for another release of %s", saw, humanize.IBytes(uint64(need))), "make room, or updates of the game fail"}
	}
	if len(releases) == 0 {
		saw += fmt.Sprintf("; `localrun install` does that, and two releases need about %s", humanize.IBytes(uint64(need)))
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
