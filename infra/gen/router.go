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

// row is one route as the router knows it.
type row struct {
	Name, Method string
	// Segments are those of the pattern; an empty one stands for anything.
	Segments []string
	// Host is where CloudFormation puts the function's host name.
	Host string
}

// JSON is the row's pattern for the router, in which null stands for anything.
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

// rows puts routes into the order in which the router tries them: at the first segment in which two patterns differ, the
// one with a word comes before the one with a wildcard, as in net/http. The error names a pattern that the router does not
// understand.
func rows(routes []route.Route) ([]row, error) {
	var all []row
	for _, r := range routes {
		if r.Method != "GET" && r.Method != "POST" {
			return nil, fmt.Errorf("route %s: the router knows GET and POST, not %s", r.Name, r.Method)
		}
		x := row{Name: r.Name, Method: r.Method, Host: "${" + logicalID(r.Name) + "Host}"}
		path, ok := strings.CutPrefix(r.Pattern, "/")
		if !ok {
			return nil, fmt.Errorf("route %s: pattern %s", r.Name, r.Pattern)
		}
		for s := range strings.SplitSeq(path, "/") {
			switch {
			case s == "{$}":
				s = "/" // as in net/http, the end of a path with a slash is a segment of its own
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

// router returns the code of the CloudFront function, in which CloudFormation replaces ${…}.
func router(routes []route.Route) ([]byte, error) {
	all, err := rows(routes)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = routerTemplate.Execute(&b, map[string]any{"Routes": all, "SecretHeader": strings.ToLower(route.OriginSecretHeader)})
	return b.Bytes(), err
}
