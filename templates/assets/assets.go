// Package assets owns the files that a browser fetches beside the pages: the stylesheet, the mark, and htmx. They are part
// of every program that embeds this package.
//
// htmx comes from npm: `make` copies it into static/ and git ignores it there, so a fresh checkout builds without it, and
// then pages have no script and work as plain forms. What the pages look like is the templ packages' business.
package assets

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"sync"
	"time"

	"left4me/shared/route"
)

// The files that pages name.
const (
	// Stylesheet is the only one.
	Stylesheet = "app.css"
	// Mark is left4me's picture, in the header and in the browser's tab.
	Mark = "mark.svg"
	// Htmx is missing from a program that was built before `make` fetched it.
	Htmx = "htmx.min.js"
)

//go:embed static
var embedded embed.FS

// File is one embedded asset.
type File struct {
	// Name is the last segment of its URL.
	Name string
	// ContentType is the value of its Content-Type header.
	ContentType string
	// Version changes exactly when Content does.
	Version string
	// Content is shared: nobody may change it.
	Content []byte
}

// opened keeps what Lookup found, since reading an embedded file copies it. Nothing is read or hashed before somebody
// asks: a page's process lives for milliseconds and names two or three files.
var opened sync.Map // file name to File

// Lookup finds the asset of that name; false when there is none.
func Lookup(name string) (File, bool) {
	if f, ok := opened.Load(name); ok {
		return f.(File), true
	}
	// A name with a slash would reach below static/, and "." is static/ itself, which cannot be read as a file.
	if path.Base(name) != name {
		return File{}, false
	}
	content, err := embedded.ReadFile("static/" + name)
	if err != nil {
		return File{}, false
	}
	sum := sha256.Sum256(content)
	f := File{Name: name, ContentType: contentType(name), Version: hex.EncodeToString(sum[:8]), Content: content}
	opened.Store(name, f)
	return f, true
}

// Has reports whether the asset of that name is part of this program.
func Has(name string) bool {
	_, ok := Lookup(name)
	return ok
}

// URL returns the path of an asset, with its version, so that browsers may keep it for ever. An asset that is not part of
// this program has no version.
func URL(name string) string {
	u := route.Asset.URL(name)
	if f, ok := Lookup(name); ok {
		u += "?v=" + f.Version
	}
	return u
}

// contentType does not ask the mime package, whose answers depend on files of the machine.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}

// Handler serves route.Asset. A request that names the version it expects gets an answer to keep for ever; one that names
// none, or another program's version, must ask again next time. notFound answers for a name that no asset has.
func Handler(notFound http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := Lookup(r.PathValue("file"))
		if !ok {
			notFound.ServeHTTP(w, r)
			return
		}
		keep := "no-cache"
		if r.URL.Query().Get("v") == f.Version {
			keep = "public, max-age=31536000, immutable"
		}
		h := w.Header()
		h.Set("Content-Type", f.ContentType)
		h.Set("Cache-Control", keep)
		h.Set("ETag", `"`+f.Version+`"`)
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, f.Name, time.Time{}, bytes.NewReader(f.Content))
	})
}
