// Package queuetest gives tests a fake SQS: npm's fauxqs, in its own process on a loopback port.
package queuetest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"left4me/shared/wake/queue"
)

// Server is a running fake SQS with one queue.
type Server struct {
	// QueueURL is the value of JOB_QUEUE_URL.
	QueueURL string
	// Environ are the other environment variables that a process needs to reach the fake, as NAME=value.
	Environ []string
	// Config and Client reach the fake with AWS's SDK.
	Config aws.Config
	Client *sqs.Client

	node *exec.Cmd
}

// Start starts a fake that stops at the end of the test. If fauxqs is not installed (`make` installs it), the test is skipped,
// or fails if CI=true.
func Start(t testing.TB) *Server {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", "..", "..", "infra", "aws")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "fauxqs")); err != nil {
		const why = "SQS IS NOT TESTED: fauxqs is not installed; `make test` does that"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	s := &Server{node: exec.Command("node", "sqs.mjs")}
	s.node.Dir = dir
	s.node.Stderr = os.Stderr
	out, err := s.node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("fauxqs did not start: ", err)
	}
	address = strings.TrimSpace(address)
	values := map[string]string{
		queue.Endpoint: address, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	}
	for name, value := range values {
		s.Environ = append(s.Environ, name+"="+value)
	}
	s.Config = aws.Config{
		BaseEndpoint: aws.String(address), Region: values["AWS_REGION"],
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: values["AWS_ACCESS_KEY_ID"], SecretAccessKey: values["AWS_SECRET_ACCESS_KEY"]}, nil
		}),
	}
	s.Client = sqs.NewFromConfig(s.Config)
	made, err := s.Client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("left4me-jobs")})
	if err != nil {
		t.Fatal(err)
	}
	s.QueueURL = aws.ToString(made.QueueUrl)
	return s
}

// Stop ends the fake, as if SQS were unreachable.
func (s *Server) Stop() {
	_ = s.node.Process.Kill() // it may be gone already
	_ = s.node.Wait()
}

// Getenv returns the value of name in Environ, or "".
func (s *Server) Getenv(name string) string {
	for _, e := range s.Environ {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}
