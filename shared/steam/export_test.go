package steam

import "net/http"

// SetTransport replaces the transport of a client, for tests without sockets.
func (c *Client) SetTransport(t http.RoundTripper) { c.http.Transport = t }
