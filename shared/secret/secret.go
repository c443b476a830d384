// Package secret reads secret settings on AWS, where everybody who may look at a function sees its environment. They are the
// keys of one secret of AWS Secrets Manager, named like the environment variables. Package settings checks them.
//
// AWS's extension for secrets would not help: it answers only during an invocation, and settings are read before.
package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"left4me/shared/awsapi"
)

// The environment variables that name the secret.
const (
	// ARN is the secret's full ARN. If it is not set, no secret is read.
	ARN = "SECRETS_ARN"
	// Version is the id of the version to read. If it is not set, the current version is read.
	Version = "SECRETS_VERSION"
	// Endpoint replaces Secrets Manager's address in tests, as in AWS's SDKs.
	Endpoint = "AWS_ENDPOINT_URL_SECRETS_MANAGER"
)

const service = "secretsmanager"

// Getenv returns a function that looks up a name in the secret first and in getenv otherwise. getenv, such as os.Getenv, also
// names the secret. An error never has a part of the secret.
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
	manager := awsapi.Service{Name: service, Region: part[3], Endpoint: getenv(Endpoint), JSON: "1.1", Getenv: getenv}
	if manager.Endpoint == "" {
		manager.Endpoint = "https://" + service + "." + manager.Region + ".amazonaws.com"
	}
	input := map[string]string{"SecretId": arn}
	if version := getenv(Version); version != "" {
		input["VersionId"] = version
	}
	text, err := manager.Call(ctx, "secretsmanager.GetSecretValue", input)
	if err != nil {
		return nil, err
	}
	var answer struct{ SecretString string }
	var values map[string]string
	if json.Unmarshal(text, &answer) != nil || json.Unmarshal([]byte(answer.SecretString), &values) != nil {
		return nil, errors.New(`it is not a JSON object of strings, such as {"DATABASE_AUTH_TOKEN":"…","ORIGIN_SECRET":"…"}`)
	}
	return values, nil
}
