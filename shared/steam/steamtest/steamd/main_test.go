package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"left4me/shared/steam/steamtest"
)

// This variable makes the test binary steamd itself, or a program that steamd runs.
const role = "STEAMD_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "steamd":
		os.Unsetenv(role)
		main()
		os.Exit(0)
	case "child":
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		fmt.Println("ready")
		fmt.Println("got", <-signals)
		fmt.Println("got", <-signals)
		os.Exit(42)
	}
	os.Exit(m.Run())
}

func steamd(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	// The race detector would wait a second at each exit.
	cmd.Env = append(os.Environ(), role+"=steamd", "GORACE=atexit_sleep_ms=0")
	return cmd
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}

func TestTheCommandGetsTheSettingsAndItsStatusIsReturned(t *testing.T) {
	catalog := filepath.Join(t.TempDir(), "a.catalog")
	if err := os.WriteFile(catalog, []byte("item 12\ncollection 90 children=12\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := steamd(t, "--catalog", catalog, "--", "sh", "-c", `echo "$STEAM_API_URL|$STEAM_CDN_HOSTS|$LEFT4ME_EXAMPLES"; exit 7`).Output()
	if exitCode(err) != 7 {
		t.Errorf("ended with %v", err)
	}
	settings := strings.Split(strings.TrimSpace(string(out)), "|")
	if len(settings) != 3 || settings[0] != "http://"+settings[1] || !strings.HasPrefix(settings[1], "127.0.0.1:") ||
		settings[2] != "https://steamcommunity.com/sharedfiles/filedetails/?id=12\nhttps://steamcommunity.com/sharedfiles/filedetails/?id=90" {
		t.Errorf("settings %q", settings)
	}
	if _, err := steamd(t, "--", "sh", "-c", "kill -9 $$").Output(); exitCode(err) != 128+9 {
		t.Errorf("killed: %v", err)
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := steamd(t, "--", "env", role+"=child", self)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for _, step := range []struct {
		line string
		send os.Signal
	}{{"ready", os.Interrupt}, {"got interrupt", syscall.SIGTERM}, {"got terminated", nil}} {
		if !lines.Scan() || lines.Text() != step.line {
			t.Fatalf("%q, want %q", lines.Text(), step.line)
		}
		if step.send != nil {
			if err := cmd.Process.Signal(step.send); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); exitCode(err) != 42 {
		t.Errorf("ended with %v", err)
	}
}

func TestWithoutACommandItServesUntilASignal(t *testing.T) {
	cmd := steamd(t, "--demo")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text, api, cdn string
	for lines := bufio.NewScanner(stdout); cdn == "" && lines.Scan(); {
		text += lines.Text() + "\n"
		if value, ok := strings.CutPrefix(lines.Text(), "STEAM_API_URL="); ok {
			api = value
		}
		if value, ok := strings.CutPrefix(lines.Text(), "STEAM_CDN_HOSTS="); ok {
			cdn = value
		}
	}
	if !strings.Contains(text, "https://steamcommunity.com/sharedfiles/filedetails/?id=9000000101  Foggy Harbour, part 1, 24 MiB\n") || api != "http://"+cdn {
		t.Errorf("printed %s", text)
	}
	run := func(args ...string) (string, error) {
		cmd := steamd(t, args...)
		cmd.Env = append(cmd.Env, "STEAM_API_URL="+api)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("tell", "item 5", "content status=404"); err != nil || out != "" {
		t.Errorf("tell: %v, %s", err, out)
	}
	if out, err := run("tell", "nonsense"); exitCode(err) != 1 || out != "steamd: line 1: \"nonsense\" is neither a command nor a place for a fault\n" {
		t.Errorf("tell nonsense: %v, %s", err, out)
	}
	resp, err := http.Get(api + "/ugc/5/x/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if out, err := run("requests"); err != nil || out != "content 5\n" {
		t.Errorf("requests: %v, %s", err, out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestWrongArguments(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.catalog")
	if err := os.WriteFile(bad, []byte("item 1\nitem x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"steamd: catalog: line 2: \"x\" is not a steam id\n":                      {"--catalog", bad},
		"steamd: open no.catalog: no such file or directory\n":                    {"--catalog", "no.catalog"},
		"steamd: exec: \"no-such-program\": executable file not found in $PATH\n": {"--", "no-such-program"},
		"steamd: STEAM_API_URL is not set\n":                                      {"requests"},
		"steamd: listen tcp: address 99999999: missing port in address\n":         {"--listen", "99999999"},
		"steamd: unknown flag: --worl\n":                                          {"--worl"},
	} {
		cmd := steamd(t, args...)
		cmd.Env = append(cmd.Env, "STEAM_API_URL=")
		if out, err := cmd.CombinedOutput(); exitCode(err) != 1 || string(out) != want {
			t.Errorf("%q: %v, %s", args, err, out)
		}
	}
}

// The downloads of the demonstration take long enough to see a bar move.
func TestTheDemonstrationTakesAboutAQuarterOfAMinute(t *testing.T) {
	fake := steamtest.New()
	fake.Tell(t, demoCatalog)
	items, collections := fake.IDs()
	var bytes int64
	for _, id := range items {
		item, _ := fake.Item(id)
		if item.Size < 10<<20 || item.Size > 40<<20 || item.App != 550 {
			t.Errorf("%+v", item)
		}
		bytes += item.Size
	}
	if !strings.Contains(demoCatalog, " total-rate=9MiB\n") {
		t.Error("the rate below is not the catalog's")
	}
	if seconds := bytes / (9 << 20); len(items) != 7 || seconds < 10 || seconds > 20 {
		t.Errorf("%d items in %d seconds", len(items), seconds)
	}
	inside := map[string]bool{}
	for _, id := range collections {
		c, _ := fake.Collection(id)
		for _, child := range c.Children {
			if _, ok := fake.Item(child); ok {
				inside[child] = true
			} else if _, ok := fake.Collection(child); !ok {
				t.Errorf("%s holds %s, which is nothing", id, child)
			}
		}
	}
	if len(collections) != 2 || len(inside) != 4 {
		t.Errorf("%d collections with %d items", len(collections), len(inside))
	}
}
