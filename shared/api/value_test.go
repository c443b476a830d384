package api

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type state string

type part struct {
	ID    int64
	OwnID string
}

type common struct {
	PageURL string
	Hidden  string `api:"-"`
}

type whole struct {
	common
	Count   int
	States  []state
	None    part
	Some    *part
	At      time.Time
	Updated int64 `api:"unix"`
	ByName  map[string]part
	secret  string
}

func (whole) State() string { return "good" }

func TestValue(t *testing.T) {
	at := time.Date(2026, 5, 1, 14, 0, 0, 7, time.FixedZone("", 7200))
	for _, c := range []struct {
		name string
		of   whole
		want string
	}{
		{"nothing", whole{},
			`{"at":null,"by_name":{},"count":0,"none":null,"page_url":"","some":null,"state":"good","states":[],"updated":null}`},
		{"everything", whole{common{"u", "h"}, 2, []state{"a"}, part{ID: 1}, &part{2, "x"}, at, 3, map[string]part{"k": {3, ""}}, "s"},
			`{"at":"2026-05-01T12:00:00Z","by_name":{"k":{"id":3,"own_id":""}},"count":2,"none":{"id":1,"own_id":""},"page_url":"u",` +
				`"some":{"id":2,"own_id":"x"},"state":"good","states":["a"],"updated":"1970-01-01T00:00:03Z"}`},
	} {
		got, err := json.Marshal(Value(c.of))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, got, c.want)
		}
	}
}

func TestSchemaNamesEveryProperty(t *testing.T) {
	s := Schemas{Described: func(t reflect.Type, field string) string { return t.Name() + "." + field }}
	s.Of(reflect.TypeFor[whole]())
	schema := s.All["api.whole"].(object)
	properties := schema["properties"].(object)
	for name := range Value(whole{}).(map[string]any) {
		if _, described := properties[name]; !described {
			t.Errorf("%s has no schema", name)
		}
	}
	if got := properties["page_url"].(object)["description"]; got != "common.PageURL" {
		t.Errorf("a field of an embedded struct is described as %v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a function has a schema")
		}
	}()
	s.Of(reflect.TypeFor[func()]())
}
