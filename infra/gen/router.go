package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"left4me/shared/route"
)

//go:embed router.js.tmpl
var routerText string

var routerTemplate = template.Must(template.New("router.js").Parse(routerText))

// row is one route in the router's table.
type row struct {
	Name, Method string
	// Segments are the segments of the pattern. An empty segment matches any.
	Segments []string
	// Host is a placeholder that CloudFormation replaces with the name of the function's host in its domain.
	Host string
}

// JSON returns the segments as a JavaScript array, in which null matches any segment.
func (r row) JSON() (string, error) {
	segments := make([]*string, len(r.Segments))
	for i := range r.Segments {
		if r.Segments[i] != "" {
			segments[i] = &r.Segments[i]
		}
	}
	b, err := json.Marshal(segments)
	return strings.ReplaceAll(strings.ReplaceAll(string(b), `"`, `'`), ",", ", "), err
}

// rows returns routes in the order in which the router tries them. As in net/http, where two patterns first differ, the one
// with a word precedes the one with a wildcard. The error names a route that the router does not support.
func rows(routes []route.Route) ([]row, error) {
	var all []row
	for _, r := range routes {
		if r.Method != "GET" && r.Method != "POST" {
			return nil, fmt.Errorf("route %s: the router supports GET and POST, not %s", r.Name, r.Method)
		}
		x := row{Name: r.Name, Method: r.Method, Host: "${" + logicalID(r.Name) + "Host}"}
		path, ok := strings.CutPrefix(r.Pattern, "/")
		if !ok {
			return nil, fmt.Errorf("route %s: pattern %s", r.Name, r.Pattern)
		}
		for s := range strings.SplitSeq(path, "/") {
			switch {
			case s == "{$}":
				s = "/" // as in net/http, a slash at the end of a path is a segment
			case strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") && !strings.HasSuffix(s, "...}"):
				s = ""
			case s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
				return nil, fmt.Errorf("route %s: the router does not understand %q in pattern %s", r.Name, s, r.Pattern)
			}
			x.Segments = append(x.Segments, s)
		}
		all = append(all, x)
	}
	slices.SortStableFunc(all, func(a, b row) int {
		return slices.CompareFunc(a.Segments, b.Segments, func(x, y string) int {
			if (x == "") != (y == "") {
				return len(y) - len(x)
			}
			return cmp.Compare(x, y)
		})
	})
	return all, nil
}

// router returns the code of the CloudFront function. CloudFormation replaces each ${…} in it.
func router(routes []route.Route) ([]byte, error) {
	all, err := rows(routes)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = routerTemplate.Execute(&b, map[string]any{"Routes": all, "SecretHeader": strings.ToLower(route.OriginSecretHeader)})
	return b.Bytes(), err
}
