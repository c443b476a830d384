// Package awsapi sends single JSON requests to AWS services, signed by the SDK's signer. It is for programs that start on
// demand: importing the SDK's client of one service would slow down their start by as much time as a page takes.
//
// It does not know the services' actions. Programs that send requests all the time use the SDK.
package awsapi

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

const (
	// tries and tryTime stay well below the 10 s that Lambda gives a function to start.
	tries   = 3
	tryTime = 2 * time.Second
	pause   = 100 * time.Millisecond
	// maxAnswer has room for a secret, which may have 64 KiB before escaping.
	maxAnswer = 512 << 10
)

// Service is a service of AWS.
type Service struct {
	// Name and Region are used to sign requests, such as sqs and eu-central-1.
	Name, Region string
	// Endpoint is the service's address: scheme and host.
	Endpoint string
	// JSON is the version of the protocol, such as 1.1.
	JSON string
	// Getenv returns the environment variables with the credentials. It is os.Getenv except in tests.
	Getenv func(string) string
}

// errTemporary marks errors after which a retry may succeed.
var errTemporary = errors.New("no answer")

// Call makes the service run action, such as AmazonSQS.SendMessage, with input as JSON, and returns its JSON answer. It retries
// temporary failures a few times. The error has the service's message, and never a part of an answer, which may be secret.
func (s Service) Call(ctx context.Context, action string, input any) ([]byte, error) {
	body, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	credentials := aws.Credentials{AccessKeyID: s.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: s.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: s.Getenv("AWS_SESSION_TOKEN")}
	if !credentials.HasKeys() {
		return nil, errors.New("the environment has no AWS credentials")
	}
	return retry.DoValue(ctx, retry.WithMaxRetries(tries-1, retry.NewConstant(pause)), func(ctx context.Context) ([]byte, error) {
		answer, err := s.try(ctx, action, credentials, body)
		if errors.Is(err, errTemporary) {
			err = retry.RetryableError(err)
		}
		return answer, err
	})
}

func (s Service) try(ctx context.Context, action string, credentials aws.Credentials, body []byte) ([]byte, error) {
	ctx, stop := context.WithTimeout(ctx, tryTime)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-"+s.JSON)
	r.Header.Set("X-Amz-Target", action)
	digest := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(digest[:]), s.Name, s.Region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTemporary, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTemporary, err)
	}
	if resp.StatusCode == http.StatusOK {
		return answer, nil
	}
	var refusal struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &refusal) // if it fails, the status must do
	err = fmt.Errorf("%s: %s %s", resp.Status, refusal.Type, refusal.Message)
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || strings.Contains(refusal.Type, "Throttling") {
		err = fmt.Errorf("%w: %w", errTemporary, err)
	}
	return nil, err
}
