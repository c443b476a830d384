// Package awsapi asks services of AWS that speak JSON single questions, signed by the SDK's signer. It is for programs that
// start on demand: importing the SDK's client of one service costs a start as much as a page takes.
//
// What is asked, and what an answer means, is its users' business. Who asks all the time uses the SDK.
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
	// maxAnswer is more than the 64 KiB that a secret may have, escaped.
	maxAnswer = 512 << 10
)

// Service is one service of AWS, asked with the credentials of a function's environment.
type Service struct {
	// Name is the one that requests are signed for, such as sqs.
	Name string
	// Region is the one that requests are signed for.
	Region string
	// Endpoint is its address: scheme and host.
	Endpoint string
	// JSON is the version of the protocol, such as 1.1.
	JSON string
	// Getenv is os.Getenv, for the credentials.
	Getenv func(string) string
}

// errPassing marks what another try may mend.
var errPassing = errors.New("no answer")

// Ask has the service do action, such as AmazonSQS.SendMessage, with question as JSON, and returns the answer's JSON. What may
// pass is tried again, a few times. The error says why there is no answer, in the service's words; it never holds a part of
// one.
func (s Service) Ask(ctx context.Context, action string, question any) ([]byte, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	who := aws.Credentials{AccessKeyID: s.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: s.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: s.Getenv("AWS_SESSION_TOKEN")}
	if !who.HasKeys() {
		return nil, errors.New("the environment has no AWS credentials")
	}
	return retry.DoValue(ctx, retry.WithMaxRetries(tries-1, retry.NewConstant(pause)), func(ctx context.Context) ([]byte, error) {
		answer, err := s.ask(ctx, action, who, body)
		if errors.Is(err, errPassing) {
			err = retry.RetryableError(err)
		}
		return answer, err
	})
}

// ask puts the question once.
func (s Service) ask(ctx context.Context, action string, who aws.Credentials, body []byte) ([]byte, error) {
	ctx, stop := context.WithTimeout(ctx, tryTime)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-"+s.JSON)
	r.Header.Set("X-Amz-Target", action)
	digest := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(digest[:]), s.Name, s.Region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPassing, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPassing, err)
	}
	if resp.StatusCode == http.StatusOK {
		return answer, nil
	}
	var refusal struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &refusal) // what is no JSON says nothing
	err = fmt.Errorf("%s: %s %s", resp.Status, refusal.Type, refusal.Message)
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || strings.Contains(refusal.Type, "Throttling") {
		err = fmt.Errorf("%w: %w", errPassing, err)
	}
	return nil, err
}
