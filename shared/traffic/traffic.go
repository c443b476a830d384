// Package traffic is how the process of a function tells what came of its traffic with Steam: a line of its log for each
// download and each failed request, which people can read, and localrun counts.
//
// It owns the form of these lines, for both sides. A process that ends before its time has said so much as it has done.
package traffic

import (
	"log/slog"

	"left4me/shared/steam"
)

// The sources that fail.
const (
	// API is Steam's Web API.
	API = "api"
	// Content is a content host.
	Content = "content"
)

const (
	downloaded  = "downloaded"
	notThere    = "not downloaded"
	steamFailed = "steam failed"
)

// Downloaded says that an item's file of so many bytes is in the cache now.
func Downloaded(log *slog.Logger, steamID string, bytes int64) {
	log.Info(downloaded, "item", steamID, "bytes", bytes)
}

// NotDownloaded says that an item's attempts are used up.
func NotDownloaded(log *slog.Logger, steamID string, err error) {
	log.Warn(notThere, "item", steamID, "error", err.Error())
}

// SteamFailed says that one request to a source has failed, whether it is made again or not. kind is a word for a label, such
// as steam.Kind's.
func SteamFailed(log *slog.Logger, source, kind string, err error) {
	log.Warn(steamFailed, "source", source, "kind", kind, "error", err.Error())
}

// APIFailed returns what tells log of the failed requests of a steam.Client.
func APIFailed(log *slog.Logger) func(error) {
	return func(err error) { SteamFailed(log, API, steam.Kind(err), err) }
}

// Counter is who counts what the lines say.
type Counter interface {
	Downloaded(bytes int64)
	NotDownloaded()
	SteamFailed(source, kind string)
}

// Read tells c what a line says. Lines about anything else are passed over.
func Read(line slog.Record, c Counter) {
	switch line.Message {
	case downloaded, notThere, steamFailed:
	default:
		return
	}
	said := map[string]slog.Value{}
	line.Attrs(func(a slog.Attr) bool {
		said[a.Key] = a.Value.Resolve()
		return true
	})
	switch line.Message {
	case downloaded:
		if bytes := said["bytes"]; bytes.Kind() == slog.KindInt64 && bytes.Int64() >= 0 {
			c.Downloaded(bytes.Int64())
		}
	case notThere:
		c.NotDownloaded()
	case steamFailed:
		c.SteamFailed(said["source"].String(), said["kind"].String())
	}
}
