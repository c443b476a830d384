package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

// BenchmarkLoad is measure M13: the memory of all processes at most while others ask too much, and ten seconds later. Meanwhile, a
// person signed in must get pages, and jobs must run. Run it with -benchtime 1x.
func BenchmarkLoad(b *testing.B) {
	b.Run("150 slow readers", func(b *testing.B) {
		s := startLoaded(b, "localrun", "up")
		s.measure(b, s.work, func(ctx context.Context) { s.many(ctx, 150, 1, s.readSlowly) })
	})
	for _, n := range []int{1500, 10000} {
		b.Run(fmt.Sprintf("%d idle connections", n), func(b *testing.B) {
			s := startLoaded(b, "localrun", "up")
			s.measure(b, s.work, func(ctx context.Context) { s.many(ctx, n, 500, s.stayIdle) })
		})
	}
	b.Run("1500 idle connections for 1024 files", func(b *testing.B) {
		s := startLoaded(b, "sh", "-c", `ulimit -n 1024 && exec localrun up`)
		s.measure(b, s.work, func(ctx context.Context) { s.many(ctx, 1500, 500, s.stayIdle) })
	})
	b.Run("1000 visitors", func(b *testing.B) {
		s := startLoaded(b, "localrun", "up")
		var served, refused atomic.Int64
		s.measure(b, func(b *testing.B) {
			s.many(b.Context(), 1000, 500, func(_ context.Context, from net.Dialer) { s.look(b, from, &served, &refused) })
		}, func(context.Context) {})
		b.ReportMetric(float64(served.Load()), "pages")
		b.ReportMetric(float64(refused.Load()), "refused")
	})
}

// loaded is a site with a large page.
type loaded struct {
	site
	jobs  *jobstore.Store
	large string
}

func startLoaded(b *testing.B, command ...string) *loaded {
	root := b.TempDir()
	d := dbtest.Open(b, db.FileURL(filepath.Join(root, "left4me.db")))
	s := startSite(b, d, []string{"LEFT4ME_ROOT=" + root}, command)
	l := &loaded{site: s, jobs: jobstore.NewStore(d, time.Now)}
	var items []steam.Item
	for i := range 5000 {
		items = append(items, steam.Item{
			SteamID: steam.ID(strconv.Itoa(1e9 + i)), Result: 1, ConsumerAppID: steam.AppID, Title: fmt.Sprintf("Campaign %d: the long way home", i),
			Filename: "campaign.vpk", FileURL: fmt.Sprintf("https://cdn.example/%040x", i), FileSize: 1 << 20, TimeUpdated: 1_700_000_000,
			PreviewURL: fmt.Sprintf("https://images.example/ugc/%d/%040x/", i, i),
		})
	}
	id, err := overlay.NewStore(d, time.Now, l.jobs).Create(b.Context(), s.user, "large", overlay.Workshop.Name)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := workshop.NewStore(d, time.Now, l.jobs).Save(b.Context(), d, items); err != nil {
		b.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT ` + fmt.Sprint(id) + `, id, 0 FROM workshop_items`,
		`DELETE FROM jobs WHERE state = 'queued'`,
	} {
		if _, err := d.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	l.large = route.OverlayShow.URL(id)
	return l
}

// measure reports the memory while work runs and disturb, too, which ends when its context does.
func (s *loaded) measure(b *testing.B, work func(*testing.B), disturb func(context.Context)) {
	for b.Loop() {
		most := 0.0
		ctx, stop := context.WithCancel(b.Context())
		var others, watching sync.WaitGroup
		others.Go(func() { disturb(ctx) })
		watched := make(chan struct{})
		watching.Go(func() {
			for {
				most = max(most, memoryOf(b, s.pid))
				select {
				case <-watched:
					return
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
		work(b)
		stop()
		others.Wait()
		close(watched)
		watching.Wait()
		time.Sleep(10 * time.Second)
		b.ReportMetric(most, "most-MiB")
		b.ReportMetric(memoryOf(b, s.pid), "later-MiB")
		b.ReportMetric(0, "ns/op")
	}
}

// memoryOf returns the MiB that a process and its children use. What processes share counts once.
func memoryOf(b *testing.B, pid int) float64 {
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		b.Error(err)
	}
	pids := []string{strconv.Itoa(pid)}
	for _, file := range children {
		text, _ := os.ReadFile(file) // a thread may have ended
		pids = append(pids, strings.Fields(string(text))...)
	}
	total := 0
	for _, pid := range pids {
		text, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup") // a process may have ended
		if _, after, ok := strings.Cut(string(text), "\nPss:"); ok {
			kib := 0
			fmt.Sscan(after, &kib)
			total += kib
		}
	}
	return float64(total) / 1024
}

// work is what somebody does who is signed in. All of it must succeed.
func (s *loaded) work(b *testing.B) {
	for range 20 {
		for _, path := range []string{route.OverlayList.URL(), route.OverlayShow.URL(s.overlay), route.JobList.URL(), route.Account.URL()} {
			want(b, s.visitor.Get(path), http.StatusOK)
		}
		want(b, s.visitor.Post(route.OverlayBuild.URL(s.overlay)), http.StatusSeeOther)
		succeeded(b, s.jobs)
		time.Sleep(500 * time.Millisecond)
	}
}

// many runs visit n times at once, from several addresses.
func (s *loaded) many(ctx context.Context, n, addresses int, visit func(context.Context, net.Dialer)) {
	var all sync.WaitGroup
	for i := range n {
		i %= addresses
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))}}
		all.Go(func() { visit(ctx, from) })
	}
	all.Wait()
}

// again calls use with connections until ctx ends.
func (s *loaded) again(ctx context.Context, from net.Dialer, use func(net.Conn)) {
	for ctx.Err() == nil {
		if c, err := from.DialContext(ctx, "tcp", s.address); err == nil {
			stop := context.AfterFunc(ctx, func() { c.Close() })
			use(c)
			stop()
			c.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// stayIdle opens a connection and sends nothing, and does it again when that is closed.
func (s *loaded) stayIdle(ctx context.Context, from net.Dialer) {
	s.again(ctx, from, func(c net.Conn) { io.Copy(io.Discard, c) })
}

// readSlowly asks for the large page without compression, reads 100 bytes a second, and asks again when that fails.
func (s *loaded) readSlowly(ctx context.Context, from net.Dialer) {
	from.Control = func(_, _ string, c syscall.RawConn) (err error) {
		if cerr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) }); cerr != nil {
			return cerr
		}
		return err
	}
	s.again(ctx, from, func(c net.Conn) {
		_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s=%s\r\n\r\n", s.large, s.address, route.SessionCookie, s.visitor.Session())
		for err == nil {
			if _, err = c.Read(make([]byte, 100)); err == nil {
				time.Sleep(time.Second)
			}
		}
	})
}

// look asks for some pages, without waiting, as many do at once.
func (s *loaded) look(b *testing.B, from net.Dialer, served, refused *atomic.Int64) {
	client := &http.Client{
		Transport: &http.Transport{DialContext: from.DialContext},
		Timeout:   patience,
	}
	defer client.CloseIdleConnections()
	paths := []string{s.large, route.OverlayList.URL(), route.JobList.URL(), route.AdminHome.URL(), route.AdminUsers.URL(), route.AdminJobs.URL(), route.Account.URL()}
	for _, path := range slices.Concat(paths, paths) {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+s.address+path, nil)
		if err != nil {
			b.Error(err)
			return
		}
		r.AddCookie(&http.Cookie{Name: route.SessionCookie, Value: s.visitor.Session()})
		resp, err := client.Do(r)
		if err != nil {
			b.Error(err)
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			served.Add(1)
		case err == nil && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
			refused.Add(1)
		default:
			b.Errorf("%s: %s, %v", path, resp.Status, err)
		}
	}
}
