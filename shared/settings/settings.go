// Package settings reads and checks the environment variables that an operator can set, and owns their defaults. It opens no
// file and no connection.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/steam"
)

// The names of the settings.
const (
	Root              = "LEFT4ME_ROOT"
	DatabaseURL       = "DATABASE_URL"
	DatabaseAuthToken = "DATABASE_AUTH_TOKEN"
	Host              = "LEFT4ME_HOST"
	Address           = "LEFT4ME_ADDRESS"
	Listen            = "LEFT4ME_LISTEN"
	PublicURL         = "PUBLIC_URL"
	SteamAPIURL       = "STEAM_API_URL"
	SteamCDNHosts     = "STEAM_CDN_HOSTS"
	DownloadParallel  = "DOWNLOAD_PARALLEL"
	Versions          = "LEFT4ME_VERSIONS"
	DownloadMinRate   = "DOWNLOAD_MIN_RATE"
	SteamCMD          = "STEAMCMD"
	SteamCMDURL       = "STEAMCMD_URL"
	SteamUser         = "STEAM_USER"
	GameUpdate        = "GAME_UPDATE"
	JobQueueURL       = "JOB_QUEUE_URL"
	OriginSecret      = "ORIGIN_SECRET"
	// OriginSecretPrevious is accepted beside ORIGIN_SECRET while that is being replaced.
	OriginSecretPrevious = "ORIGIN_SECRET_PREVIOUS"
	MaxOverlays          = "MAX_OVERLAYS"
	MaxOverlayItems      = "MAX_OVERLAY_ITEMS"
	MaxItems             = "MAX_ITEMS"
	ActionsPerMinute     = "ACTIONS_PER_MINUTE"
	TrustedProxies       = "TRUSTED_PROXIES"
	// MetricsListen applies to a localrun that serves pages, AgentMetricsListen to one that only runs jobs.
	MetricsListen      = "LEFT4ME_METRICS_LISTEN"
	AgentMetricsListen = "LEFT4ME_AGENT_METRICS_LISTEN"
	// Examples are texts to paste, one per line, that the page of an empty overlay shows. They are for demonstrations.
	Examples         = "LEFT4ME_EXAMPLES"
	ServerSupervisor = "SERVER_SUPERVISOR"
)

// Values of SERVER_SUPERVISOR.
const (
	Systemd      = "systemd"
	NoSupervisor = "none"
)

// DefaultRoot is the value of LEFT4ME_ROOT when it is not set.
const DefaultRoot = "/var/lib/left4me"

const (
	defaultListen   = "127.0.0.1:8080"
	defaultParallel = 8
	defaultVersions = 2
	defaultMinRate  = 1024
	defaultSteamCMD = "https://steamcdn-a.akamaihd.net/client/installer/steamcmd_linux.tar.gz"
	minSecret       = 16
	maxHostName     = 64

	// These limits only stop misuse: they are far above what a person needs.
	defaultOverlays     = 200
	defaultOverlayItems = 5000
	defaultItems        = 20_000
	defaultActions      = 30
)

// Settings are the checked values. They include secrets, so do not log them.
type Settings struct {
	// Root is an absolute path.
	Root              string
	DatabaseURL       string
	DatabaseAuthToken string
	// Host is the name of this host, for people. Address is what players connect to; empty: not known.
	Host, Address string
	// Listen is host:port.
	Listen string
	// PublicURL is an origin: scheme and host, without a path.
	PublicURL *url.URL
	// AnyHost is true if PUBLIC_URL is not set and other machines can reach Listen: browsers may open the pages at any name or
	// address of this machine, not only at PublicURL.
	AnyHost     bool
	SteamAPIURL string
	// SteamHosts is the parsed value of STEAM_CDN_HOSTS.
	SteamHosts steam.Hosts
	// DownloadParallel is how many items one build downloads at once.
	DownloadParallel int
	// Versions is how many versions of an item's file a host keeps, the newest included.
	Versions int
	// DownloadMinRate is how many bytes a second a connection to a content host must deliver; 0: any.
	DownloadMinRate int
	// SteamCMD is an executable in place of Valve's, an absolute path; empty: the one in Valve's archive at SteamCMDURL.
	SteamCMD, SteamCMDURL string
	// SteamUser is the account that may install the game; empty for none.
	SteamUser string
	// InstallUpdates is true if a newer release is to be installed, and not only reported.
	InstallUpdates bool
	// Limits are for people who are no administrators.
	Limits account.Limits
	// JobQueueURLs are the SQS queues that wake the host agents, one for each host. This host's agent is woken by the first. There are
	// none if all of left4me runs on the host.
	JobQueueURLs []string
	// ServerSupervisor is what keeps the processes of game servers: Systemd or NoSupervisor; empty: what this host has.
	ServerSupervisor string
	// OriginSecret proves that a request came through CloudFront. It is empty without CloudFront.
	OriginSecret string
	// OriginSecretPrevious is accepted as well, while CloudFront changes from one secret to another.
	OriginSecretPrevious string
	// TrustedProxies are the addresses of the reverse proxies that the gateway believes about a client's address.
	TrustedProxies []netip.Prefix
	// MetricsListen and AgentMetricsListen are host:port, or empty.
	MetricsListen, AgentMetricsListen string
	Examples                          []string

	cdnHosts string
}

// RootDir returns LEFT4ME_ROOT alone, for programs that work even if other settings are wrong. The error is a sentence like those of Load.
func RootDir(getenv func(string) string) (string, error) {
	root := filepath.Clean(cmp.Or(strings.TrimSpace(getenv(Root)), DefaultRoot))
	if !filepath.IsAbs(root) {
		return "", fmt.Errorf("%s: %q is not an absolute path, such as %s", Root, root, DefaultRoot)
	}
	return root, nil
}

// Load reads the settings with getenv, such as os.Getenv. The error has one line for each wrong setting.
func Load(getenv func(string) string) (Settings, error) {
	var s Settings
	var errs []error
	wrong := func(name, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
	}
	get := func(name, fallback string) string {
		return cmp.Or(strings.TrimSpace(getenv(name)), fallback)
	}

	var err error
	if s.Root, err = RootDir(getenv); err != nil {
		errs = append(errs, err)
		s.Root = DefaultRoot // so that other settings are checked
	}

	s.DatabaseURL = get(DatabaseURL, db.FileURL(filepath.Join(s.Root, "left4me.db")))
	if err := db.CheckURL(s.DatabaseURL); err != nil {
		wrong(DatabaseURL, "%w", err)
	}
	s.DatabaseAuthToken = get(DatabaseAuthToken, "")

	hostname, _ := os.Hostname()
	s.Host = get(Host, cmp.Or(hostname, "unnamed"))
	if n := utf8.RuneCountInString(s.Host); n > maxHostName || strings.ContainsFunc(s.Host, func(r rune) bool { return !unicode.IsPrint(r) }) {
		wrong(Host, "%q is not a name of at most %d characters that can be shown", s.Host, maxHostName)
	}
	s.ServerSupervisor = get(ServerSupervisor, "")
	if s.ServerSupervisor != "" && s.ServerSupervisor != Systemd && s.ServerSupervisor != NoSupervisor {
		wrong(ServerSupervisor, "%q is neither %s nor %s", s.ServerSupervisor, Systemd, NoSupervisor)
	}
	s.Address = get(Address, "")
	if !isAddress(s.Address) {
		wrong(Address, "%q is not an address without a port, such as 203.0.113.5 or games.example.org", s.Address)
	}

	s.Listen = get(Listen, defaultListen)
	host, port, ok := splitAddress(s.Listen)
	if !ok {
		wrong(Listen, "%q is not host:port, such as %s", s.Listen, defaultListen)
	}
	s.AnyHost = ok && get(PublicURL, "") == "" && !Loopback(host)
	if unspecified(host) {
		host = "127.0.0.1" // an address that a browser on this machine can open
	}

	public := get(PublicURL, "http://"+net.JoinHostPort(host, port))
	u, err := url.Parse(public)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		wrong(PublicURL, "%q is not an address such as https://left4me.example.org, without a path", public)
		u = &url.URL{Scheme: "http", Host: "127.0.0.1"}
	}
	s.PublicURL = &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}

	if s.SteamAPIURL, err = steam.ParseURL(get(SteamAPIURL, "")); err != nil {
		errs = append(errs, err)
	}
	s.cdnHosts = get(SteamCDNHosts, "")
	if s.SteamHosts, err = steam.ParseHosts(s.cdnHosts); err != nil {
		errs = append(errs, err)
	}

	number := func(name string, fallback, least, most int) int {
		text := get(name, strconv.Itoa(fallback))
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			wrong(name, "%q is not a number from %d to %d", text, least, most)
		}
		return n
	}
	s.DownloadParallel = number(DownloadParallel, defaultParallel, 1, 64)
	s.Versions = number(Versions, defaultVersions, 1, 20)
	s.DownloadMinRate = number(DownloadMinRate, defaultMinRate, 0, 1<<20)
	if s.SteamCMD = get(SteamCMD, ""); s.SteamCMD != "" && !filepath.IsAbs(s.SteamCMD) {
		wrong(SteamCMD, "%q is not an absolute path", s.SteamCMD)
	}
	s.SteamCMDURL = get(SteamCMDURL, defaultSteamCMD)
	if u, err := url.Parse(s.SteamCMDURL); err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !Loopback(u.Hostname())) {
		wrong(SteamCMDURL, "%q is not an https URL, such as %s", s.SteamCMDURL, defaultSteamCMD)
	}
	s.SteamUser = get(SteamUser, "")
	if strings.ContainsFunc(s.SteamUser, func(r rune) bool {
		return r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		wrong(SteamUser, "%q is not the name of an account on Steam: those have letters, digits and _", s.SteamUser)
	}
	switch update := get(GameUpdate, "install"); update {
	case "install", "notify":
		s.InstallUpdates = update == "install"
	default:
		wrong(GameUpdate, "%q is neither install nor notify", update)
	}
	s.Limits = account.Limits{
		Overlays:         number(MaxOverlays, defaultOverlays, 1, 1_000_000),
		OverlayItems:     number(MaxOverlayItems, defaultOverlayItems, 1, 1_000_000),
		Items:            number(MaxItems, defaultItems, 1, 1_000_000),
		ActionsPerMinute: number(ActionsPerMinute, defaultActions, 1, 10_000),
	}
	s.JobQueueURLs = words(get(JobQueueURL, ""))
	for _, queue := range s.JobQueueURLs {
		if u, err := url.Parse(queue); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			wrong(JobQueueURL, "%q is not the URL of a queue", queue)
		}
	}
	for name, secret := range map[string]*string{OriginSecret: &s.OriginSecret, OriginSecretPrevious: &s.OriginSecretPrevious} {
		*secret = get(name, "")
		if n := len(*secret); n > 0 && n < minSecret {
			wrong(name, "it has %d characters; at least %d cannot be guessed", n, minSecret)
		}
	}
	for name, address := range map[string]*string{MetricsListen: &s.MetricsListen, AgentMetricsListen: &s.AgentMetricsListen} {
		*address = get(name, "")
		if _, _, ok := splitAddress(*address); !ok && *address != "" {
			wrong(name, "%q is not host:port, such as 127.0.0.1:9464", *address)
		}
	}
	for _, word := range words(get(TrustedProxies, "")) {
		proxies, err := parseProxies(word)
		if err != nil {
			wrong(TrustedProxies, "%q %w", word, err)
		}
		s.TrustedProxies = append(s.TrustedProxies, proxies)
	}
	for line := range strings.Lines(getenv(Examples)) {
		if line = strings.TrimSpace(line); line != "" {
			s.Examples = append(s.Examples, line)
		}
	}
	return s, errors.Join(errs...)
}

// unspecified reports whether to listen on host means to listen on all addresses of the machine.
func unspecified(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// Loopback reports whether host is a name or an address of this machine that other machines cannot reach.
func Loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// Elsewhere returns the URLs at which browsers on other machines can open the pages, if they differ from PublicURL. local are the
// addresses of this machine (net.InterfaceAddrs).
func (s Settings) Elsewhere(local []net.Addr) []string {
	host, port, _ := splitAddress(s.Listen)
	if !s.AnyHost || !unspecified(host) {
		return nil
	}
	var urls []string
	for _, a := range local {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() {
			urls = append(urls, "http://"+net.JoinHostPort(prefix.Addr().String(), port))
		}
	}
	return urls
}

// isAddress reports whether address is empty, an IP address, or a name that can be looked up.
func isAddress(address string) bool {
	if _, err := netip.ParseAddr(address); err == nil || address == "" {
		return true
	}
	return !strings.ContainsFunc(address, func(r rune) bool {
		return r != '.' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// words splits a list at commas and white space.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// splitAddress splits host:port. The host may be empty and the port 0.
func splitAddress(address string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	n, perr := strconv.ParseUint(port, 10, 16)
	return host, port, err == nil && perr == nil && (n != 0 || port == "0")
}

// parseProxies parses an address or a range of addresses. The error continues a sentence that begins with word.
func parseProxies(word string) (netip.Prefix, error) {
	proxies, err := netip.ParsePrefix(word)
	if address, aerr := netip.ParseAddr(word); aerr == nil && address.Zone() == "" {
		proxies, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	switch {
	case err != nil || proxies.Addr().Is4In6():
		return netip.Prefix{}, errors.New("is not an address such as 127.0.0.1, or a range of addresses such as 10.0.0.0/8")
	case proxies.Bits() == 0:
		return netip.Prefix{}, errors.New("is everybody; name the addresses that only proxies have")
	}
	return proxies, nil
}

// Environ returns the settings as environment variables for a function on a host. They do not depend on the working directory.
// The origin's secret is left out, because on a host only the gateway can reach functions. So are the settings of localrun
// itself: the address for players, the trusted proxies and the addresses of the metrics.
func (s Settings) Environ() []string {
	env := []string{
		Root + "=" + s.Root,
		DatabaseURL + "=" + s.DatabaseURL,
		Host + "=" + s.Host,
		Listen + "=" + s.Listen,
		SteamAPIURL + "=" + s.SteamAPIURL,
		DownloadParallel + "=" + strconv.Itoa(s.DownloadParallel),
		Versions + "=" + strconv.Itoa(s.Versions),
		DownloadMinRate + "=" + strconv.Itoa(s.DownloadMinRate),
		MaxOverlays + "=" + strconv.Itoa(s.Limits.Overlays),
		MaxOverlayItems + "=" + strconv.Itoa(s.Limits.OverlayItems),
		MaxItems + "=" + strconv.Itoa(s.Limits.Items),
		ActionsPerMinute + "=" + strconv.Itoa(s.Limits.ActionsPerMinute),
		SteamCMDURL + "=" + s.SteamCMDURL,
		GameUpdate + "=" + map[bool]string{true: "install", false: "notify"}[s.InstallUpdates],
	}
	for name, value := range map[string]string{
		DatabaseAuthToken: s.DatabaseAuthToken,
		ServerSupervisor:  s.ServerSupervisor,
		PublicURL:         s.publicURL(),
		SteamCDNHosts:     s.cdnHosts,
		SteamCMD:          s.SteamCMD,
		SteamUser:         s.SteamUser,
		JobQueueURL:       strings.Join(s.JobQueueURLs, " "),
		Examples:          strings.Join(s.Examples, "\n"),
	} {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// publicURL is the value of PUBLIC_URL for a function, which with AnyHost goes by the requests instead.
func (s Settings) publicURL() string {
	if s.AnyHost {
		return ""
	}
	return s.PublicURL.String()
}

// CacheDir is the workshop cache.
func (s Settings) CacheDir() string { return filepath.Join(s.Root, "workshop_cache") }

// OverlaysDir contains the overlays' directories.
func (s Settings) OverlaysDir() string { return filepath.Join(s.Root, "overlays") }

// GameDir has the releases of the game.
func (s Settings) GameDir() string { return filepath.Join(s.Root, "game") }

// SteamDir is SteamCMD's home directory.
func (s Settings) SteamDir() string { return filepath.Join(s.Root, "steam") }

// WakeSocket is the path of the socket that wakes the host agent.
func (s Settings) WakeSocket() string { return filepath.Join(s.Root, "agent.sock") }
