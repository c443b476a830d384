// Package pages is the handler of testdata/page, apart, so that it can also be served without a function around it.
package pages

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"left4me/shared/fn/lambdahttp"
)

// Serve shows what it was asked, or misbehaves as it is told.
func Serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("do") {
	case "page":
		page(w)
	case "panic":
		panic("oh no")
	case "exit":
		os.Exit(1)
	case "hang":
		select {}
	case "large":
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, strings.Repeat("x", 5<<20))
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		json.NewEncoder(w).Encode(map[string]any{
			"method": r.Method, "uri": r.RequestURI, "path": r.URL.Path, "host": r.Host, "remote": r.RemoteAddr,
			"header": r.Header, "body": string(body), "id": lambdahttp.RequestID(r.Context()),
		})
	}
}

// page writes a page of about 20 KiB.
func page(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, "<!DOCTYPE html><title>Overlays</title><table>")
	for i := range 200 {
		fmt.Fprintf(w, "<tr><td>%d</td><td><a href=\"/overlays/%d\">an overlay with a name</a></td><td>ready</td></tr>\n", i, i)
	}
	io.WriteString(w, "</table>")
}
