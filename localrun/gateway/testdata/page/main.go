// Command page is the function of the gateway's end-to-end tests and benchmarks: a handler of net/http behind lambdahttp,
// which shows what it was asked, or misbehaves as it is told.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/fn/lambdahttp"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	adapter := &lambdahttp.Adapter{
		Handler: http.HandlerFunc(serve),
		Host:    "left4me.example",
		Failed: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "the function's own error page", http.StatusInternalServerError)
		}),
		Log: log,
	}
	if os.Getenv("TEST_RAW") == "" {
		lambda.Start(adapter)
	}
	lambda.Start(raw{adapter})
}

// raw answers what the query's `raw` says, whatever it is.
type raw struct{ *lambdahttp.Adapter }

func (f raw) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	r, err := lambdahttp.NewRequest(ctx, payload, "")
	if err != nil {
		return nil, err
	}
	return []byte(r.URL.Query().Get("raw")), nil
}

func serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("do") {
	case "page":
		Page(w)
	case "panic":
		panic("oh no")
	case "exit":
		os.Exit(1)
	case "hang":
		select {}
	case "sleep":
		time.Sleep(time.Hour)
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

// Page writes a page of about 20 KiB.
func Page(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, "<!DOCTYPE html><title>Overlays</title><table>")
	for i := range 200 {
		fmt.Fprintf(w, "<tr><td>%d</td><td><a href=\"/overlays/%d\">an overlay with a name</a></td><td>ready</td></tr>\n", i, i)
	}
	io.WriteString(w, "</table>")
}
