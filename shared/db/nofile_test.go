//go:build nofile

package db_test

import (
	"strings"
	"testing"

	"left4me/shared/db"
)

// It runs with `go test -tags nofile ./shared/db -run WithoutEmbedded`.
func TestWithoutEmbeddedDriverAFileIsRefusedWithASentence(t *testing.T) {
	_, err := db.Open("file:/var/lib/left4me/left4me.db", "")
	if err == nil || !strings.Contains(err.Error(), "without the embedded database") {
		t.Errorf("got %v", err)
	}
	d, err := db.Open("libsql://database.example.org", "token")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}
