package pagetest

import (
	"strings"
	"testing"
)

// Each rule finds a page that breaks it.
func TestRules(t *testing.T) {
	good := `<html lang="en"><head><title>x</title></head><body><main><h1>x</h1>%</main></body></html>`
	for want, body := range map[string]string{
		"attribute style":       `<p style="color:red">x</p>`,
		"attribute onclick":     `<p onclick="x()">x</p>`,
		"attribute hx-on:click": `<p hx-on:click="x()">x</p>`,
		"inline style":          `<style>p{}</style>`,
		"inline script":         `<script>x()</script>`,
		"scheme javascript":     `<a href="javascript:x()">x</a>`,
		"no route answers GET":  `<a href="/nowhere">x</a>`,
		"no route answers POST": `<form method="post" action="/jobs/1"><input type="hidden" name="csrf_token" value="x"></form>`,
		"needs csrf_token":      `<form method="post" action="/overlays"></form>`,
		"labels this field":     `<input id="a" name="a">`,
		"has the id b":          `<p aria-describedby="b">x</p>`,
		"have this id":          `<p id="c"></p><p id="c"></p>`,
		"what this does":        `<button></button>`,
		"a picture needs":       `<img src="https://example.org/x.png">`,
		"one h1":                `<h1>y</h1>`,
	} {
		doc := parse(t, strings.Replace(good, "%", body, 1))
		found := strings.Join(append(pageProblems(doc), problems(doc, true)...), "\n")
		if !strings.Contains(found, want) {
			t.Errorf("%s is not found wrong, but %q", body, found)
		}
	}
	doc := parse(t, strings.Replace(good, "%", `<a href="/overlays/3?job=7">x</a>`, 1))
	if found := append(pageProblems(doc), problems(doc, true)...); len(found) != 0 {
		t.Errorf("a good page has %q", found)
	}
}
