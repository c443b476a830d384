// Command function is the Lambda function of lambdahost's tests: it does what its payload says, good or bad.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type order struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	Size int    `json:"size"`
	// Addr is where it reports that it works on the order, and waits until it may go on.
	Addr string `json:"addr"`
}

type function struct{ terminated chan os.Signal }

func main() {
	fmt.Print(os.Getenv("TEST_PRINT_AT_START"))
	switch os.Getenv("TEST_AT_START") {
	case "exit":
		fmt.Fprintln(os.Stderr, "no such database")
		os.Exit(3)
	case "exit once":
		if f, err := os.OpenFile(os.Getenv("TEST_MARK"), os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
			os.Exit(4)
		}
	case "hang":
		time.Sleep(time.Hour) // an empty select would be a deadlock, and end it
	case "hold":
		if _, err := (function{}).hold(os.Getenv("TEST_GATE")); err != nil {
			panic(err)
		}
	}
	f := function{}
	if os.Getenv("TEST_HANDLE_SIGTERM") != "" {
		f.terminated = make(chan os.Signal, 1)
		signal.Notify(f.terminated, syscall.SIGTERM)
	}
	if os.Getenv("TEST_IGNORE_SIGTERM") != "" {
		signal.Ignore(syscall.SIGTERM)
	}
	if os.Getenv("TEST_EXTENSION") != "" {
		lambda.StartWithOptions(f, lambda.WithEnableSIGTERM())
	}
	lambda.Start(f)
}

// Invoke implements lambda.Handler.
func (f function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var o order
	if err := json.Unmarshal(payload, &o); err != nil {
		return nil, err
	}
	switch o.Do {
	case "echo":
		return payload, nil
	case "hold":
		return f.hold(o.Addr)
	case "about":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		wd, _ := os.Getwd()
		return json.Marshal(map[string]any{
			"pid": os.Getpid(), "pgid": syscall.Getpgrp(), "env": os.Environ(), "dir": wd, "id": lc.AwsRequestID,
			"arn": lc.InvokedFunctionArn, "deadline": deadline.UnixMilli(), "trace": os.Getenv("_X_AMZN_TRACE_ID"),
		})
	case "print":
		_, err := os.Stdout.WriteString(o.Text)
		return []byte(`{}`), err
	case "error":
		return nil, errors.New(o.Text)
	case "panic":
		panic(o.Text)
	case "exit":
		fmt.Fprintln(os.Stderr, o.Text)
		os.Exit(7)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "hang":
		select {}
	case "raw":
		return []byte(o.Text), nil
	case "huge":
		return bytes.Repeat([]byte{' '}, o.Size), nil
	case "grandchild": // outlives its parent and keeps its output open
		cmd := exec.Command("/bin/sleep", "600")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		fmt.Println(cmd.Process.Pid)
		os.Exit(8)
	}
	return nil, fmt.Errorf("unknown order %q", o.Do)
}

// hold reports to addr, and ends when the other side says so, or at SIGTERM if this process handles it.
func (f function) hold(addr string) ([]byte, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "%s %d\n", os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), os.Getpid()); err != nil {
		return nil, err
	}
	released := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		released <- err
	}()
	select {
	case err := <-released:
		if err == nil {
			fmt.Println("going on")
			_, err = io.WriteString(c, "going on")
		}
		return []byte(`"released"`), err
	case <-f.terminated:
		return []byte(`"stopped"`), nil
	}
}
