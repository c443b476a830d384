package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"left4me/templates/webtest"
)

// hostPage is the page with the configurations of proxies.
const hostPage = "infra/systemd/README.md"

// readmeBlock returns the text of the page's only block in that language.
func readmeBlock(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../" + hostPage)
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "\n```"+language+"\n")
	block, rest, _ := strings.Cut(block, "```\n")
	if !found || strings.Contains(rest, "```"+language+"\n") {
		t.Fatalf("%s does not have one block of %s", hostPage, language)
	}
	return block
}

// replace replaces each of pairs, which text must have.
func replace(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q in %s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// publicHost is that of the page's examples.
const publicHost = "left4me.example.org"

// TestBehindAProxy runs the proxies of the page with its configurations, of which only ports and paths are replaced.
// shows: P40
func TestBehindAProxy(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, s *system, dir, port string){
		"Caddy": startCaddy,
		"nginx": func(t *testing.T, s *system, dir, port string) { startNginx(t, s, dir, port, "$remote_addr") },
		"nginx that appends": func(t *testing.T, s *system, dir, port string) {
			startNginx(t, s, dir, port, "$proxy_add_x_forwarded_for")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSystem(t, strings.Fields(readmeBlock(t, "sh"))...)
			port := freePort(t)
			start(t, s, t.TempDir(), port)
			visitThroughProxy(t, s, port)
		})
	}
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// freePort is one that nobody listens on now, and that the kernel gives nobody who asks for any free port.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + mathrand.N(10000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

func startCaddy(t *testing.T, s *system, dir, port string) {
	caddy := program(t, "caddy")
	site := replace(t, readmeBlock(t, "caddyfile"), "127.0.0.1:8080", strings.TrimPrefix(s.url, "http://"))
	// It is its own authority here, and keeps to itself.
	global := "{\n\tlocal_certs\n\tskip_install_trust\n\tadmin off\n\tauto_https disable_redirects\n\thttps_port " + port + "\n\tdefault_bind 127.0.0.1\n}\n"
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(global+site), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	s.start(filepath.Join(dir, "log"), env, regexp.MustCompile(`"serving initial configuration"`), 1, caddy, "run", "--config", config, "--adapter", "caddyfile")
	// It listens before it has made its certificate.
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{ServerName: publicHost, InsecureSkipVerify: true})
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func startNginx(t *testing.T, s *system, dir, port, forwardedFor string) {
	nginx := program(t, "nginx")
	certificate(t, filepath.Join(dir, "certificate"), filepath.Join(dir, "key"))
	const live = "/etc/letsencrypt/live/" + publicHost
	server := replace(t, readmeBlock(t, "nginx"),
		"127.0.0.1:8080", strings.TrimPrefix(s.url, "http://"),
		"listen 443 ssl;", "listen 127.0.0.1:"+port+" ssl;",
		"listen [::]:443 ssl;", "",
		live+"/fullchain.pem", filepath.Join(dir, "certificate"),
		live+"/privkey.pem", filepath.Join(dir, "key"),
		"X-Forwarded-For $remote_addr;", "X-Forwarded-For "+forwardedFor+";")
	var main strings.Builder
	fmt.Fprintf(&main, "daemon off; master_process off; pid %s/pid; error_log stderr notice;\nevents {}\nhttp {\naccess_log off;\n", dir)
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&main, "%s_temp_path %s/%s;\n", what, dir, what)
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(main.String()+server+"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.start(filepath.Join(dir, "log"), nil, regexp.MustCompile(`using the "\w+" event method`), 1, nginx, "-e", "stderr", "-p", dir, "-c", config)
}

// certificate writes one that publicHost has signed itself, and its key.
func certificate(t *testing.T, certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{publicHost}, NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// visitThroughProxy signs in by way of the proxy at port, from another address than the proxy's, and tries to hide it.
func visitThroughProxy(t *testing.T, s *system, port string) {
	const address = "127.0.0.2"
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: patience}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, "127.0.0.1:"+port)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the proxy has no certificate that anybody trusts
	}
	defer transport.CloseIdleConnections()
	v := webtest.New(t, transport, "https://"+publicHost)
	v.Header = http.Header{
		"Origin":                    {"https://" + publicHost},
		"X-Forwarded-For":           {"203.0.113.7, 127.0.0.1", "203.0.113.8"},
		"X-Real-Ip":                 {"203.0.113.7"},
		"Forwarded":                 {"for=203.0.113.7"},
		"Cloudfront-Viewer-Address": {"203.0.113.7:443"},
	}
	check := func(what string, got webtest.Answer, status int) {
		t.Helper()
		if got.StatusCode != status {
			t.Fatalf("%s: %s", what, got.Status)
		}
		for _, c := range got.Cookies() {
			if !c.Secure || !c.HttpOnly {
				t.Errorf("%s: the cookie %s is not for https alone", what, c)
			}
		}
	}
	check("the form for signing in", v.Get("/login"), http.StatusOK)
	check("a wrong password", v.Post("/login", "name", "admin", "password", "wrong"), http.StatusUnauthorized)
	in := v.Post("/login", "name", "admin", "password", s.password)
	check("signing in", in, http.StatusSeeOther)
	if to := in.Location(); strings.Contains(to, ":") && !strings.HasPrefix(to, "https://"+publicHost+"/") {
		t.Errorf("signing in leads to %s", to)
	}
	if said := v.Get("/account").Text(".sessions"); !strings.Contains(said, address) {
		t.Errorf("the session does not come from %s: %s", address, said)
	}
	s.eventually("4 requests from "+address, func() bool { return strings.Count(s.said(), `"client":"`+address+`"`) == 4 })
	if said := s.said(); strings.Contains(said, "203.0.113") {
		t.Errorf("it believes what a client says: %s", said)
	}
}
