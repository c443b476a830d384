package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"left4me/shared/route"
)

func TestTheDescriptionIsCurrent(t *testing.T) {
	const root = "../.."
	want, err := describe(root)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(root + "/functions/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("functions/api/openapi.json is not what the tables and views say: run `make infra`, and read what has changed")
	}
}

func TestDescriptionsAreOfRoutes(t *testing.T) {
	known := map[string]bool{}
	for _, r := range route.All() {
		known[r.Name] = true
	}
	word := regexp.MustCompile(`^[a-z][a-z_]*$`)
	for name, d := range descriptions {
		if !known[name] {
			t.Errorf("descriptions has a row for %s, which is no route", name)
		}
		for _, f := range append(d.query, d.fields...) {
			if !word.MatchString(f.name) || f.words == "" {
				t.Errorf("%s: the field %q is not described", name, f.name)
			}
		}
	}
}
