// Package secret reads the settings that must not stand in a function's environment on AWS, where everybody who may look
// at the function sees them: the keys of one secret of AWS Secrets Manager, named like the environment variables.
//
// It asks with one request of its own, signed by the SDK's signer, instead of the SDK's client, whose import alone costs a
// start more than a page takes. AWS's extension for secrets is no way either: it answers only during an invocation, and settings are read before. What
// the settings mean is shared/settings'.
package secret

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/sethvargo/go-retry"
)

// The environment variables that name the secret.
const (
	// ARN is the secret's full ARN. Without it there is none.
	ARN = "SECRETS_ARN"
	// Version is the id of the version to read; without it the current one is read.
	Version = "SECRETS_VERSION"
	// Endpoint replaces Secrets Manager's address, for a stand-in. The name is that of AWS's SDKs.
	Endpoint = "AWS_ENDPOINT_URL_SECRETS_MANAGER"
)

const (
	service = "secretsmanager"
	// tries and tryTime stay well below the 10 s that Lambda gives a function to start.
	tries   = 3
	tryTime = 2 * time.Second
	pause   = 100 * time.Millisecond
	// maxAnswer is more than the 64 KiB that a secret may have, escaped.
	maxAnswer = 512 << 10
)

// Getenv returns getenv, such as os.Getenv, with the keys of the secret put over it. The error says why the secret that
// getenv names cannot be had; it never holds a part of one.
func Getenv(ctx context.Context, getenv func(string) string) (func(string) string, error) {
	arn := getenv(ARN)
	if arn == "" {
		return getenv, nil
	}
	values, err := fetch(ctx, getenv, arn)
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", arn, err)
	}
	return func(name string) string {
		if value, ok := values[name]; ok {
			return value
		}
		return getenv(name)
	}, nil
}

func fetch(ctx context.Context, getenv func(string) string, arn string) (map[string]string, error) {
	part := strings.Split(arn, ":") // arn:aws:secretsmanager:region:account:secret:name
	if len(part) != 7 || part[0] != "arn" || part[2] != service || part[3] == "" {
		return nil, fmt.Errorf("%s is not the ARN of a secret", ARN)
	}
	region := part[3]
	endpoint := getenv(Endpoint)
	if endpoint == "" {
		endpoint = "https://" + service + "." + region + ".amazonaws.com"
	}
	question := map[string]string{"SecretId": arn}
	if version := getenv(Version); version != "" {
		question["VersionId"] = version
	}
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	who := aws.Credentials{AccessKeyID: getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: getenv("AWS_SESSION_TOKEN")}
	return retry.DoValue(ctx, retry.WithMaxRetries(tries-1, retry.NewConstant(pause)), func(ctx context.Context) (map[string]string, error) {
		values, err := ask(ctx, endpoint, region, who, body)
		if errors.Is(err, errPassing) {
			err = retry.RetryableError(err)
		}
		return values, err
	})
}

// errPassing marks what another try may mend.
var errPassing = errors.New("no answer")

// ask puts the question once.
func ask(ctx context.Context, endpoint, region string, who aws.Credentials, body []byte) (map[string]string, error) {
	ctx, stop := context.WithTimeout(ctx, tryTime)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	digest := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(digest[:]), service, region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPassing, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPassing, err)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(text, &refusal) // what is no JSON says nothing
		err := fmt.Errorf("%s: %s %s", resp.Status, refusal.Type, refusal.Message)
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || strings.Contains(refusal.Type, "Throttling") {
			err = fmt.Errorf("%w: %w", errPassing, err)
		}
		return nil, err
	}
	var answer struct{ SecretString string }
	var values map[string]string
	if json.Unmarshal(text, &answer) != nil || json.Unmarshal([]byte(answer.SecretString), &values) != nil {
		return nil, errors.New(`it is not a JSON object of strings, such as {"DATABASE_AUTH_TOKEN":"…","ORIGIN_SECRET":"…"}`)
	}
	return values, nil
}
