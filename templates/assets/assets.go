// Package assets embeds the files that pages load: the stylesheet, the logo, left4me's script and htmx; and a page for when no function answers.
//
// htmx comes from npm: `make` copies it into static/, where git ignores it. A fresh checkout builds without it; its pages have
// no script, and plain forms.
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

// Names of assets.
const (
	// Stylesheet is the stylesheet of all pages.
	Stylesheet = "app.css"
	// Mark is left4me's logo, in the header and in the browser's tab.
	Mark = "mark.svg"
	// Script is left4me's own script, which needs htmx.
	Script = "app.js"
	// Htmx is missing from a program that was built before `make` fetched it.
	Htmx = "htmx.min.js"
	// Unavailable is the page that CloudFront shows when a function does not answer.
	Unavailable = "unavailable.html"
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
	// Content is shared and must not be changed.
	Content []byte
}

// opened caches the results of Lookup, since reading an embedded file copies it. Files are read and hashed on demand: a page's
// process lives for milliseconds and uses two or three.
var opened sync.Map // file name to File

// Lookup returns the asset with that name; false when there is none.
func Lookup(name string) (File, bool) {
	if f, ok := opened.Load(name); ok {
		return f.(File), true
	}
	// A name with a slash would be in a subdirectory, and "." is static/ itself, which cannot be read as a file.
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

// Has reports whether this program has the asset with that name.
func Has(name string) bool {
	_, ok := Lookup(name)
	return ok
}

// URL returns the path of an asset, with its version, so that browsers may cache it forever. An asset that this program does not
// have has no version.
func URL(name string) string {
	u := route.Asset.URL(name)
	if f, ok := Lookup(name); ok {
		u += "?v=" + f.Version
	}
	return u
}

// contentType does not use the package mime, which depends on files of the machine.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
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
		get := *r // also if it is a HEAD request, whose answer needs the length of the body, which the transport then leaves out
		get.Method = http.MethodGet
		http.ServeContent(w, &get, f.Name, time.Time{}, bytes.NewReader(f.Content))
	})
}
