package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"left4me/localrun/gateway/testdata/pages"
)

// BenchmarkPage fetches one page of 20 KiB, one request after another, in three ways: from the handler itself behind
// net/http, through the gateway from a process that waits for it, and through the gateway from a new process each time.
func BenchmarkPage(b *testing.B) {
	b.Run("in-process", func(b *testing.B) {
		server := httptest.NewServer(http.HandlerFunc(pages.Serve))
		defer server.Close()
		fetchAll(b, server.URL+"/page/1?do=page")
	})
	b.Run("warm", func(b *testing.B) {
		url, _ := serve(b, false)
		fetchAll(b, url+"/page/1?do=page")
	})
	b.Run("cold", func(b *testing.B) {
		url, _ := serve(b, true)
		fetchAll(b, url+"/page/1?do=page")
	})
}

func fetchAll(b *testing.B, url string) {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}} // the handler itself compresses nothing
	defer client.CloseIdleConnections()
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		resp, err := client.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status, err)
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "ms-99%")
}
