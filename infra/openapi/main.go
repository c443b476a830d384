// Command openapi writes the description of left4me's API in OpenAPI 3.1 to a file: openapi FILE. It runs in the directory of the module.
//
// The routes come from the route table, the schemas from the types of the views, and their descriptions from the comments of those types.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"

	"left4me/shared/api"
	"left4me/shared/route"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: openapi FILE")
		os.Exit(2)
	}
	text, err := describe(".")
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

type object = map[string]any

const about = `Every page of left4me is also its API: it answers JSON to a request with "Accept: application/json". Make a token on the page /account, and send it as
"Authorization: Bearer TOKEN"; a token for reading may use GET only. Forms are sent as application/x-www-form-urlencoded. What was accepted is answered
202 if it asked for a job, whose page is in the header Location, 201 if it made something, whose page is there, and otherwise 200. Errors are problem details
(RFC 9457); 429 and 503 have the header Retry-After. Ids are 0 for none. A list with several pages has the number of the last one, or says whether more follow.`

// describe returns the description as JSON. dir is the directory of the module.
func describe(dir string) ([]byte, error) {
	comments := comments{dir: dir, packages: map[string]map[string]string{}}
	schemas := api.Schemas{Described: comments.of}
	done, problem := schemas.Of(reflect.TypeFor[api.Done]()), schemas.Of(reflect.TypeFor[api.Problem]())
	paths := object{}
	for _, r := range route.All() {
		d, known := descriptions[r.Name]
		if !known {
			return nil, fmt.Errorf("route %s has no row in descriptions: say what programs use it for, or that they do not", r.Name)
		}
		if d.summary == "" {
			continue
		}
		success := []any{}
		for _, view := range d.views {
			success = append(success, schemas.Of(reflect.TypeOf(view)))
		}
		if r.Method == http.MethodPost {
			success = append(success, done)
		}
		operation := object{
			"operationId": r.Name, "summary": d.summary, "tags": []string{tag(r)}, "parameters": parameters(r, d),
			"responses": object{
				"2XX":     object{"description": "It is done.", "content": content(api.JSON, one(success))},
				"default": object{"description": "It was refused, or has failed.", "content": content(api.ProblemJSON, problem)},
			},
		}
		if r.Who == route.Anyone {
			operation["security"] = []any{}
		}
		if r.Method == http.MethodPost {
			operation["requestBody"] = requestBody(d)
		}
		path, known := paths[r.Pattern].(object)
		if !known {
			path = object{}
			paths[r.Pattern] = path
		}
		path[strings.ToLower(r.Method)] = operation
	}
	if comments.err != nil {
		return nil, comments.err
	}
	return json.MarshalIndent(object{
		"openapi":  "3.1.0",
		"info":     object{"title": "left4me", "version": "1", "description": about},
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"token": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas":         schemas.All,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
		},
	}, "", " ")
}

// one is a schema for exactly one of several.
func one(schemas []any) any {
	if len(schemas) == 1 {
		return schemas[0]
	}
	return object{"oneOf": schemas}
}

func content(contentType string, schema any) object {
	return object{contentType: object{"schema": schema}}
}

// tag is the noun that a route is about: the first part of its path.
func tag(r route.Route) string {
	noun, _, _ := strings.Cut(strings.TrimPrefix(r.Pattern, "/"), "/")
	return noun
}

var wildcard = regexp.MustCompile(`\{(\w+)\}`)

// parameters describes the wildcards of the path and the query.
func parameters(r route.Route, d description) []any {
	all := []any{}
	for _, name := range wildcard.FindAllStringSubmatch(r.Pattern, -1) {
		all = append(all, object{"name": name[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, f := range d.query {
		all = append(all, object{"name": f.name, "in": "query", "required": f.required, "description": f.words, "schema": f.schema()})
	}
	return all
}

func requestBody(d description) object {
	properties, required := object{}, []string{}
	for _, f := range d.fields {
		schema := f.schema()
		schema["description"] = f.words
		properties[f.name] = schema
		if f.required {
			required = append(required, f.name)
		}
	}
	schema := object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	return object{"required": len(required) > 0, "content": content("application/x-www-form-urlencoded", schema)}
}
