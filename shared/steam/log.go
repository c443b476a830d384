package steam

import "log/slog"

// The lines that functions log about downloads and failed requests. People read them, and localrun/metrics counts them
// with ReadLog.
const (
	msgDownloaded    = "downloaded"
	msgNotDownloaded = "not downloaded"
	msgFailed        = "steam failed"
)

// The sources of failed requests.
const (
	SourceAPI     = "api"     // the Web API
	SourceContent = "content" // a content host
)

// LogDownloaded logs that an item's file has been downloaded into the cache.
func LogDownloaded(log *slog.Logger, steamID ID, bytes int64) {
	log.Info(msgDownloaded, "item", steamID, "bytes", bytes)
}

// LogNotDownloaded logs that all attempts to download an item's file have failed.
func LogNotDownloaded(log *slog.Logger, steamID ID, err error) {
	log.Warn(msgNotDownloaded, "item", steamID, "error", err.Error())
}

// LogFailed logs one failed request, whether or not it is tried again. source is SourceAPI or SourceContent, kind a word for
// a metric's label, such as Kind's.
func LogFailed(log *slog.Logger, source, kind string, err error) {
	log.Warn(msgFailed, "source", source, "kind", kind, "error", err.Error())
}

// LogCounter counts what ReadLog finds.
type LogCounter interface {
	Downloaded(bytes int64)
	NotDownloaded()
	SteamFailed(source, kind string)
}

// ReadLog calls the method of c for a line that one of this package's Log functions has written. It ignores all other lines.
func ReadLog(line slog.Record, c LogCounter) {
	switch line.Message {
	case msgDownloaded, msgNotDownloaded, msgFailed:
	default:
		return
	}
	attrs := map[string]slog.Value{}
	line.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.Resolve()
		return true
	})
	switch line.Message {
	case msgDownloaded:
		if bytes := attrs["bytes"]; bytes.Kind() == slog.KindInt64 && bytes.Int64() >= 0 {
			c.Downloaded(bytes.Int64())
		}
	case msgNotDownloaded:
		c.NotDownloaded()
	case msgFailed:
		c.SteamFailed(attrs["source"].String(), attrs["kind"].String())
	}
}
