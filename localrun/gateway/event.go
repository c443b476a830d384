package gateway

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// event is a Function URL event of payload format 2.0 for a URL with the auth type NONE. It is documented in
// docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html.
type event struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext        requestContext    `json:"requestContext"`
	Body                  string            `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"`
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// Event returns the JSON event that a Function URL creates for r. Event does not read r.Body: body is the whole body.
// function is the name of r's function, requestID the Lambda request id, and now the time of arrival.
func Event(r *http.Request, body []byte, function, requestID string, now time.Time) ([]byte, error) {
	path, query := target(r)
	address := clientAddress(r)
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	cookies := cookies(r)
	e := event{
		Version:               "2.0",
		RouteKey:              "$default",
		RawPath:               path,
		RawQueryString:        query,
		Cookies:               cookies,
		Headers:               headers(r, cookies, address, len(body)),
		QueryStringParameters: parameters(query),
		RequestContext: requestContext{
			AccountID:    "anonymous",
			APIID:        function,
			DomainName:   host,
			DomainPrefix: function,
			HTTP:         httpContext{Method: r.Method, Path: path, Protocol: r.Proto, SourceIP: address, UserAgent: r.UserAgent()},
			RequestID:    requestID,
			RouteKey:     "$default",
			Stage:        "$default",
			Time:         now.UTC().Format("02/Jan/2006:15:04:05 -0700"),
			TimeEpoch:    now.UnixMilli(),
		},
	}
	switch {
	case len(body) == 0:
	case isPlainText(r.Header.Get("Content-Type")) && r.Header.Get("Content-Encoding") == "" && utf8.Valid(body):
		e.Body = string(body)
	default:
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return json.Marshal(e)
}

// target returns the path and the query of r, still encoded as they arrived.
func target(r *http.Request) (path, query string) {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, query, _ = strings.Cut(r.RequestURI, "?")
		return path, query
	}
	// The request was created in this process, or is in the form for a proxy: `GET http://host/path`.
	path = r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return path, r.URL.RawQuery
}

// cookies splits the Cookie headers at semicolons. It does not check the parts.
func cookies(r *http.Request) []string {
	var list []string
	for _, line := range r.Header["Cookie"] {
		for c := range strings.SplitSeq(line, ";") {
			if c = textproto.TrimString(c); c != "" {
				list = append(list, c)
			}
		}
	}
	return list
}

// headers returns the headers of r's event: names in lower case, values joined with commas, without hop-by-hop headers. The
// headers that AWS sets are set here, too, so that clients cannot forge them.
func headers(r *http.Request, cookies []string, address string, bodySize int) map[string]string {
	all := make(map[string]string, len(r.Header)+5)
	for name, values := range r.Header {
		if key := strings.ToLower(name); !isHopByHop(key) && !isSpoofable(key) {
			all[key] = strings.Join(values, ",")
		}
	}
	for _, line := range r.Header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(all, strings.ToLower(textproto.TrimString(name)))
		}
	}
	if len(cookies) > 0 {
		all["cookie"] = strings.Join(cookies, "; ")
	} else {
		delete(all, "cookie")
	}
	if bodySize > 0 { // r has no length if the body was chunked
		all["content-length"] = strconv.Itoa(bodySize)
	}
	all["host"] = r.Host
	all["x-forwarded-for"] = address
	all["x-forwarded-proto"], all["x-forwarded-port"] = "http", "80"
	if r.TLS != nil {
		all["x-forwarded-proto"], all["x-forwarded-port"] = "https", "443"
	}
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		all["x-forwarded-port"] = port
	}
	return all
}

// isHopByHop reports whether name is a hop-by-hop header of RFC 9110, section 7.6.1, or one that net/http handles.
func isHopByHop(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
		"transfer-encoding", "upgrade", "expect":
		return true
	}
	return false
}

// isSpoofable reports whether name is a header that functions may trust on AWS, because CloudFront or Lambda sets it.
func isSpoofable(name string) bool {
	return name == "forwarded" || name == "x-real-ip" || strings.HasPrefix(name, "x-forwarded-") ||
		strings.HasPrefix(name, "x-amz") || strings.HasPrefix(name, "cloudfront-")
}

// parameters decodes a query. Values with the same name are joined with commas. Parts that cannot be decoded are unchanged.
func parameters(query string) map[string]string {
	if query == "" {
		return nil
	}
	all := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = decode(name), decode(value)
		if previous, ok := all[name]; ok {
			value = previous + "," + value
		}
		all[name] = value
	}
	return all
}

func decode(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return s
}

// isPlainText reports whether AWS passes on a body of this type as text. It encodes all others, including forms, in base64.
func isPlainText(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	switch kind {
	case "application/json", "application/javascript", "application/xml":
		return true
	}
	return strings.HasPrefix(kind, "text/")
}
