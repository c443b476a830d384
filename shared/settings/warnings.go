package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"left4me/shared/db"
)

// names are all settings that Load reads.
var names = []string{Root, DatabaseURL, DatabaseAuthToken, Host, Address, Listen, PublicURL, SteamAPIURL, SteamCDNHosts, DownloadParallel, Versions, DownloadMinRate,
	SteamCMD, SteamCMDURL, SteamUser, GameUpdate, ServerSupervisor,
	MaxOverlays, MaxOverlayItems, MaxItems, ActionsPerMinute, JobQueueURL, OriginSecret, OriginSecretPrevious, TrustedProxies, MetricsListen, AgentMetricsListen, Examples}

// Warnings returns a sentence for each variable of environ, in the form of os.Environ, that has no effect on a host although somebody
// probably wants one: because other settings exclude it, or because its name is misspelled.
func (s Settings) Warnings(environ []string) []string {
	var all []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case value == "":
		case name == DatabaseAuthToken && db.FilePath(s.DatabaseURL) != "":
			all = append(all, fmt.Sprintf("%s has no effect, because %s is a file", name, DatabaseURL))
		case name == OriginSecret, name == OriginSecretPrevious:
			all = append(all, fmt.Sprintf("%s has no effect on a host, only on AWS", name))
		case slices.Contains(names, name):
		default:
			meant := nearest(name)
			switch {
			case meant != "":
				all = append(all, fmt.Sprintf("%s is not a setting of left4me; is %s meant?", name, meant))
			case strings.HasPrefix(name, "LEFT4ME_"):
				all = append(all, fmt.Sprintf("%s is not a setting of left4me; README.md lists them", name))
			}
		}
	}
	slices.Sort(all)
	return all
}

// nearest returns the setting whose name is most like name, or "" if none differs by at most a fifth of its letters.
func nearest(name string) string {
	found, least := "", 0
	for _, known := range names {
		distance := levenshtein.ComputeDistance(strings.ToUpper(name), known)
		if distance <= len(known)/5 && (found == "" || distance < least) {
			found, least = known, distance
		}
	}
	return found
}
