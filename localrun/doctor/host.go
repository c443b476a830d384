package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"left4me/shared/host"
	"left4me/shared/route"
	"left4me/shared/settings"
)

// functions checks the binaries.
func (h Host) functions() Finding {
	var missing []string
	for _, name := range h.Functions {
		path := filepath.Join(h.FunctionsDir, name)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || unix.Access(path, unix.X_OK) != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return Finding{"functions", Failed, fmt.Sprintf("%d of %d cannot be run from %s (%s)", len(missing), len(h.Functions), h.FunctionsDir, some(missing)),
			"run `make build`, or name the directory with --functions"}
	}
	return Finding{"functions", OK, fmt.Sprintf("all %d are in %s", len(h.Functions), h.FunctionsDir), ""}
}

// some joins the first few names for one line.
func some(names []string) string {
	const few = 3
	if len(names) > few {
		return strings.Join(names[:few], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// files checks that this user can write to left4me's directories.
func files(s settings.Settings) []Finding {
	root := Finding{"root", OK, s.Root + " can be written to", ""}
	switch err := writable(s.Root); {
	case errors.Is(err, fs.ErrNotExist):
		root = Finding{"root", Warning, s.Root + " is not there yet", "`localrun up` makes it"}
		if unix.Access(existing(s.Root), unix.W_OK) != nil {
			root.Level, root.Do = Failed, "make it, owned by the user who runs left4me: this one cannot"
		}
		return []Finding{root}
	case err != nil:
		root = Finding{"root", Failed, err.Error(), toWrite(s.Root, err)}
	}
	found := []Finding{root}
	for _, dir := range []string{s.CacheDir(), s.OverlaysDir()} {
		f := Finding{filepath.Base(dir), OK, dir + " can be written to", ""}
		switch err := writable(dir); {
		case errors.Is(err, fs.ErrNotExist):
			f.Saw = dir + " is made by the first build"
		case err != nil:
			f.Level, f.Saw, f.Do = Failed, err.Error(), toWrite(dir, err)
		}
		found = append(found, f)
	}
	return found
}

// toWrite says what to do if path cannot be read or written to because of err.
func toWrite(path string, err error) string {
	if errors.Is(err, unix.EROFS) {
		return "find out in `dmesg` why its file system is read-only, and mount it for writing again"
	}
	return fmt.Sprintf("`chown` %s to the user who runs left4me, or run this as that user (now: uid %d)", path, os.Getuid())
}

// writable returns an error if this user cannot create files in dir.
func writable(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	return accessible(dir, unix.R_OK|unix.W_OK|unix.X_OK)
}

// accessible returns an error if this user may not use path in that mode, which includes writing.
func accessible(path string, mode uint32) error {
	if err := unix.Access(path, mode); err != nil {
		return fmt.Errorf("%s cannot be written to (%w)", path, err)
	}
	return nil
}

// existing returns path, or the nearest existing directory above it.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}

// minFree is the free space in bytes that one large item needs.
const minFree = 512 << 20

func (h Host) space(s settings.Settings) Finding {
	path := existing(s.Root)
	total, free, err := h.DiskSpace(path)
	if err != nil {
		return Finding{"disk", Warning, err.Error(), "look at it by hand"}
	}
	saw := fmt.Sprintf("%s of %s are free at %s", humanize.IBytes(uint64(free)), humanize.IBytes(uint64(total)), path)
	const do = "make room, or move LEFT4ME_ROOT to a larger disk"
	switch {
	case free < minFree:
		return Finding{"disk", Failed, saw, do}
	case host.Scarce(total, free):
		return Finding{"disk", Warning, saw, do}
	}
	return Finding{"disk", OK, saw, ""}
}

// pagesTimeout limits the request for the health page, which waits for the database.
const pagesTimeout = 20 * time.Second

// pages checks that left4me's pages are served on this host, unless the settings leave the port open.
func pages(ctx context.Context, s settings.Settings) []Finding {
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || port == "0" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pagesTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Listen+route.Health.URL(), nil)
	if err != nil {
		return []Finding{{"pages", Failed, err.Error(), "look at " + settings.Listen}}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // without a proxy
	response, err := client.Do(request)
	if err != nil {
		return []Finding{{"pages", Warning, "none are served at " + s.Listen + ": " + cause(err).Error(),
			"start left4me-web, `localrun serve` or `localrun up`, unless another host serves them"}}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 16))
	if err != nil || response.StatusCode != http.StatusOK || string(answer) != "ok\n" {
		return []Finding{{"pages", Failed, fmt.Sprintf("what listens at %s answers with status %d, not as left4me that is well does", s.Listen, response.StatusCode),
			"see whose it is (`ss -ltnp`): look at the log of left4me's, or give left4me another " + settings.Listen}}
	}
	return []Finding{{"pages", OK, "they are served at " + s.Listen, ""}}
}

// cause returns err without the URL of the request, which is in the finding already.
func cause(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

const (
	steamTimeout = 10 * time.Second
	// maxClockDifference is how much two clocks may differ. Steam's time has whole seconds.
	maxClockDifference = 5 * time.Second
)

// steam checks that Steam's Web API answers, and compares this host's clock with Steam's.
func (h Host) steam(ctx context.Context, s settings.Settings) []Finding {
	ctx, cancel := context.WithTimeout(ctx, steamTimeout)
	defer cancel()
	start := h.Now()
	date, err := serverDate(ctx, s.SteamAPIURL)
	if err != nil {
		return []Finding{{"steam", Failed, fmt.Sprintf("%s: %v", s.SteamAPIURL, err),
			"look at the network, name resolution and HTTPS_PROXY; nothing can be added or refreshed meanwhile"}}
	}
	now := h.Now()
	found := []Finding{{"steam", OK, fmt.Sprintf("%s answers within %s", s.SteamAPIURL, now.Sub(start).Round(time.Millisecond)), ""}}
	theirs, err := http.ParseTime(date)
	if err != nil {
		return append(found, Finding{"clock", Warning, fmt.Sprintf("Steam does not tell its time (%q)", date), "compare this host's clock by hand"})
	}
	return append(found, clock(now.Sub(theirs), "Steam's"))
}

// serverDate sends a HEAD request and returns the Date header of the answer, whose status must be below 500.
func serverDate(ctx context.Context, address string) (date string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return "", cause(err)
	}
	response.Body.Close()
	if response.StatusCode >= http.StatusInternalServerError {
		return "", fmt.Errorf("unexpected status %d", response.StatusCode)
	}
	return response.Header.Get("Date"), nil
}

// clock checks the difference between this host's clock and that of owner, such as "Steam's".
func clock(ahead time.Duration, owner string) Finding {
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	if off := ahead.Abs(); off > maxClockDifference {
		return Finding{"clock", Warning, fmt.Sprintf("this host's is %s %s %s", off.Round(time.Second), direction, owner),
			"let NTP set it: leases of jobs are compared with it"}
	}
	return Finding{"clock", OK, "this host's agrees with " + owner, ""}
}
