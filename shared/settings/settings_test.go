package settings_test

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"left4me/shared/settings"
)

func load(env map[string]string) (settings.Settings, error) {
	return settings.Load(func(name string) string { return env[name] })
}

func TestDefaults(t *testing.T) {
	s, err := load(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]string{
		"root":     {s.Root, "/var/lib/left4me"},
		"database": {s.DatabaseURL, "file:/var/lib/left4me/left4me.db"},
		"listen":   {s.Listen, "127.0.0.1:8080"},
		"public":   {s.PublicURL.String(), "http://127.0.0.1:8080"},
		"api":      {s.SteamAPIURL, "https://api.steampowered.com"},
		"cache":    {s.CacheDir(), "/var/lib/left4me/workshop_cache"},
		"overlays": {s.OverlaysDir(), "/var/lib/left4me/overlays"},
		"game":     {s.GameDir(), "/var/lib/left4me/game"},
		"steam":    {s.SteamDir(), "/var/lib/left4me/steam"},
		"steamcmd": {s.SteamCMDURL + s.SteamCMD + s.SteamUser, "https://steamcdn-a.akamaihd.net/client/installer/steamcmd_linux.tar.gz"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s = %q, want %q", name, c[0], c[1])
		}
	}
	if hostname, err := os.Hostname(); err != nil || s.Host != hostname || s.Address != "" {
		t.Errorf("host = %q at %q, want %q, %v", s.Host, s.Address, hostname, err)
	}
	if !s.InstallUpdates {
		t.Error("updates of the game are not installed")
	}
	if s.DownloadParallel != 8 || s.DownloadMinRate != 1024 {
		t.Errorf("parallel = %d, minimum rate = %d", s.DownloadParallel, s.DownloadMinRate)
	}
}

func TestOneLinePerWrongSetting(t *testing.T) {
	wrong := map[string]string{
		settings.Root:                 "left4me",
		settings.DatabaseURL:          "postgres://x",
		settings.Host:                 "bell\a",
		settings.Address:              "games.example.org:27015",
		settings.Listen:               "8080",
		settings.PublicURL:            "left4me.example.org/path",
		settings.SteamAPIURL:          "steam",
		settings.SteamCDNHosts:        "https://cdn",
		settings.DownloadParallel:     "0",
		settings.DownloadMinRate:      "-1",
		settings.SteamCMD:             "steamcmd.sh",
		settings.SteamCMDURL:          "http://example.org/steamcmd.tar.gz",
		settings.SteamUser:            "nick +quit",
		settings.GameUpdate:           "yes",
		settings.MaxOverlays:          "0",
		settings.MaxOverlayItems:      "-1",
		settings.MaxItems:             "many",
		settings.ActionsPerMinute:     "100000",
		settings.JobQueueURL:          "queue",
		settings.OriginSecret:         "short",
		settings.OriginSecretPrevious: "short",
		settings.TrustedProxies:       "127.0.0.1, proxy",
		settings.MetricsListen:        "9464",
		settings.AgentMetricsListen:   "127.0.0.1:http",
	}
	_, err := load(wrong)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(wrong) {
		t.Errorf("%d lines for %d mistakes:\n%v", len(lines), len(wrong), err)
	}
	for name, value := range wrong {
		one, err := load(map[string]string{name: value})
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%s: %v, %v", name, value, one, err)
		}
	}
	for _, value := range []string{"-1", "65", "eight", "8.0"} {
		if _, err := load(map[string]string{settings.DownloadParallel: value}); err == nil {
			t.Errorf("DOWNLOAD_PARALLEL=%s: no error", value)
		}
	}
}

func TestAddressOfPlayers(t *testing.T) {
	for value, ok := range map[string]bool{"203.0.113.5": true, "2001:db8::5": true, "games.example.org": true, "vm": true,
		"203.0.113.5:27015": false, "[2001:db8::5]": false, "https://games.example.org": false, "a b": false} {
		if s, err := load(map[string]string{settings.Address: value}); (err == nil) != ok || ok && s.Address != value {
			t.Errorf("%s: %q, %v", value, s.Address, err)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	s, err := load(map[string]string{settings.TrustedProxies: "127.0.0.1, ::1,10.0.0.0/8\t2001:db8::/32,"})
	if got := fmt.Sprint(s.TrustedProxies); err != nil || got != "[127.0.0.1/32 ::1/128 10.0.0.0/8 2001:db8::/32]" {
		t.Errorf("%s, %v", got, err)
	}
	for _, value := range []string{"0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.0/33", "10.0.0", "*", "127.0.0.1:80", "[::1]"} {
		if s, err := load(map[string]string{settings.TrustedProxies: value}); err == nil {
			t.Errorf("%s was accepted as %v", value, s.TrustedProxies)
		}
	}
}

func TestPublicURLWithoutAListenHost(t *testing.T) {
	for listen, want := range map[string]string{
		":9000":        "http://127.0.0.1:9000",
		"0.0.0.0:9000": "http://127.0.0.1:9000",
		"[::1]:9000":   "http://[::1]:9000",
		"host:9000":    "http://host:9000",
	} {
		s, err := load(map[string]string{settings.Listen: listen})
		if err != nil || s.PublicURL.String() != want {
			t.Errorf("listen on %s: public %s, %v, want %s", listen, s.PublicURL, err, want)
		}
	}
}

// A function must see the same settings as the process that started it, wherever it runs.
func TestEnvironIsComplete(t *testing.T) {
	env := map[string]string{
		settings.Root:              "/srv/left4me",
		settings.DatabaseURL:       "libsql://db.example.org",
		settings.DatabaseAuthToken: "secret",
		settings.Host:              "attic",
		settings.Listen:            "127.0.0.1:9",
		settings.PublicURL:         "https://Left4me.example.org/",
		settings.SteamAPIURL:       "http://127.0.0.1:1",
		settings.SteamCDNHosts:     "127.0.0.1:1",
		settings.DownloadParallel:  "3",
		settings.DownloadMinRate:   "0",
		settings.SteamCMD:          "/usr/games/steamcmd",
		settings.SteamCMDURL:       "http://127.0.0.1:1/steamcmd.tar.gz",
		settings.SteamUser:         "nick_2",
		settings.GameUpdate:        "notify",
		settings.MaxOverlays:       "4",
		settings.MaxOverlayItems:   "5",
		settings.MaxItems:          "6",
		settings.ActionsPerMinute:  "7",
		settings.Versions:          "3",
		settings.JobQueueURL:       "https://sqs.example.org/1/queue https://sqs.example.org/1/other",
		settings.Examples:          "1\n2",
	}
	first, err := load(env)
	if err != nil {
		t.Fatal(err)
	}
	passed := map[string]string{}
	for _, e := range first.Environ() {
		name, value, _ := strings.Cut(e, "=")
		passed[name] = value
	}
	env[settings.PublicURL] = "https://left4me.example.org"
	if !maps.Equal(passed, env) {
		t.Errorf("passed on %v, want %v", passed, env)
	}
}
