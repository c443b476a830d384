package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/assets"
	"left4me/templates/fntest"
)

func TestAssetsAreServedAndOtherFilesAreNot(t *testing.T) {
	v := fntest.New(t).Visitor(account.User{}, route.Asset, build)
	got := v.Get(assets.URL(assets.Stylesheet))
	if got.StatusCode != http.StatusOK || !strings.Contains(got.Header.Get("Cache-Control"), "immutable") || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/css") {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	for _, path := range []string{"/assets/nothing.css", "/assets/..%2fapp.css", "/assets/%00"} {
		if got := v.Get(path); got.StatusCode != http.StatusNotFound || got.Header.Get("Cache-Control") != "no-store" || !strings.Contains(got.Body, "<html") {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
		}
	}
}
