package secret_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"left4me/shared/secret"
)

const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:left4me-AbCdEf"

// manager is a fake AWS Secrets Manager, which records its requests.
type manager struct {
	requests []*http.Request
	bodies   []string
	answer   func(try int) (status int, text string)
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m.requests, m.bodies = append(m.requests, r), append(m.bodies, string(body))
	status, text := m.answer(len(m.requests))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func value(secret string) string {
	b, _ := json.Marshal(map[string]string{"SecretString": secret})
	return string(b)
}

func getenv(t *testing.T, m *manager, env map[string]string) (func(string) string, error) {
	t.Helper()
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	all := map[string]string{
		secret.ARN: arn, secret.Endpoint: s.URL,
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "the-key-itself", "AWS_SESSION_TOKEN": "the-session",
		"PUBLIC_URL": "https://left4me.example.org", "ORIGIN_SECRET": "of the environment",
	}
	for name, v := range env {
		all[name] = v
	}
	return secret.Getenv(t.Context(), func(name string) string { return all[name] })
}

func TestSecretOverridesTheEnvironment(t *testing.T) {
	m := &manager{answer: func(int) (int, string) {
		return 200, value(`{"DATABASE_AUTH_TOKEN":"token","ORIGIN_SECRET":"of the secret"}`)
	}}
	env, err := getenv(t, m, map[string]string{secret.Version: "v-1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"DATABASE_AUTH_TOKEN": "token", "ORIGIN_SECRET": "of the secret", "PUBLIC_URL": "https://left4me.example.org", "OTHER": ""} {
		if got := env(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	r := m.requests[0]
	if m.bodies[0] != `{"SecretId":"`+arn+`","VersionId":"v-1"}` || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
		t.Errorf("got request %s %s", r.Header.Get("X-Amz-Target"), m.bodies[0])
	}
	authorization := r.Header.Get("Authorization")
	if !strings.Contains(authorization, "/eu-central-1/secretsmanager/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=") ||
		strings.Contains(authorization, "the-key-itself") {
		t.Errorf("signed with %s", authorization)
	}
}

func TestWithoutASecretNoRequestIsSent(t *testing.T) {
	m := &manager{}
	env, err := getenv(t, m, map[string]string{secret.ARN: ""})
	if err != nil || env("ORIGIN_SECRET") != "of the environment" || len(m.requests) > 0 {
		t.Errorf("%v, %d requests", err, len(m.requests))
	}
}

func TestTemporaryFailuresAreRetried(t *testing.T) {
	m := &manager{answer: func(try int) (int, string) {
		if try < 3 {
			return 503, "busy"
		}
		return 200, value(`{"ORIGIN_SECRET":"x"}`)
	}}
	if env, err := getenv(t, m, nil); err != nil || env("ORIGIN_SECRET") != "x" || len(m.requests) != 3 {
		t.Errorf("%v after %d tries", err, len(m.requests))
	}
}

func TestErrorsExplainAndHideTheSecret(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		text     string
		env      map[string]string
		want     string
		requests int
	}{
		"not allowed":   {400, `{"__type":"AccessDeniedException","Message":"not authorized to perform GetSecretValue"}`, nil, "AccessDeniedException not authorized", 1},
		"always busy":   {503, "busy", nil, "503", 3},
		"throttled":     {400, `{"__type":"ThrottlingException"}`, nil, "ThrottlingException", 3},
		"no object":     {200, value(`"hunter2"`), nil, "not a JSON object of strings", 1},
		"not strings":   {200, value(`{"ORIGIN_SECRET":{"hunter2":1}}`), nil, "not a JSON object of strings", 1},
		"no JSON":       {200, "hunter2", nil, "not a JSON object of strings", 1},
		"no ARN":        {200, "", map[string]string{secret.ARN: "left4me"}, "not the ARN of a secret", 0},
		"another thing": {200, "", map[string]string{secret.ARN: "arn:aws:sqs:eu-central-1:1:secret:x"}, "not the ARN of a secret", 0},
	} {
		m := &manager{answer: func(int) (int, string) { return c.status, c.text }}
		_, err := getenv(t, m, c.env)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") || len(m.requests) != c.requests {
			t.Errorf("%s: %v, %d requests", name, err, len(m.requests))
		}
	}
}
