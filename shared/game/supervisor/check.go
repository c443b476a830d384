package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"left4me/shared/game/launch"
	"left4me/shared/settings"
)

// Problem is why a host cannot run servers, and what to do about it; zero if it can.
type Problem struct{ Why, Do string }

// String is the problem in a sentence, and empty if there is none.
func (p Problem) String() string {
	if p.Why == "" {
		return ""
	}
	return p.Why + ": " + p.Do
}

// checkTime is how long a check may take.
const checkTime = 10 * time.Second

// Check looks whether this host can run servers, and what would keep them: `systemd` or `localrun`. It changes nothing.
func Check(ctx context.Context, s settings.Settings) (keeper string, p Problem) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	switch v := New(s).(type) {
	case systemd:
		keeper, p = "systemd", v.check(ctx)
	case kept:
		keeper, p = "localrun", v.check(ctx)
	}
	if old := oldKernel(); old.Why != "" {
		p = old
	}
	return keeper, p
}

func (systemd) check(ctx context.Context) Problem {
	const do = "`sudo apt install dbus polkitd`; without left4me's package, copy its rule for polkit, too (infra/systemd/README.md)"
	if !unitInstalled() {
		return Problem{"left4me-server@.service is not installed", "install left4me's package, or run `sudo make install` and `sudo systemctl daemon-reload`"}
	}
	err := with(ctx, func(conn *dbus.Conn) error {
		// There is no server 0. Stopping it does nothing, and is refused to those who may not do it.
		return finish(ctx, "stop", 0, conn.StopUnitContext)
	})
	if err != nil {
		return Problem{fmt.Sprintf("this user may not start and stop the units of servers (%v)", err), do}
	}
	return Problem{}
}

func (k kept) check(ctx context.Context) Problem {
	if err := launch.Possible(ctx, k.program); err != nil {
		return Problem{fmt.Sprintf("this user may not make the namespaces and mounts that a server needs (%v)", err), launch.Advice()}
	}
	return Problem{}
}

// oldKernel is the problem of a kernel whose overlay file systems do not take layers with mapped owners.
func oldKernel() Problem {
	var name unix.Utsname
	var major, minor int
	if err := unix.Uname(&name); err != nil {
		return Problem{}
	}
	release := unix.ByteSliceToString(name.Release[:])
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n == 2 && (major < 5 || major == 5 && minor < 19) {
		return Problem{"servers need Linux 5.19, and this is " + release, "upgrade the system, such as to Debian 12"}
	}
	return Problem{}
}
