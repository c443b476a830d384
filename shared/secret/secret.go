// Package secret reads the settings that must not stand in a function's environment on AWS, where everybody who may look
// at the function sees them: the keys of one secret of AWS Secrets Manager, named like the environment variables.
//
// AWS's extension for secrets is no way to them: it answers only during an invocation, and settings are read before. What
// the settings mean is shared/settings'.
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
	// ARN is the secret's full ARN. Without it there is none.
	ARN = "SECRETS_ARN"
	// Version is the id of the version to read; without it the current one is read.
	Version = "SECRETS_VERSION"
	// Endpoint replaces Secrets Manager's address, for a stand-in. The name is that of AWS's SDKs.
	Endpoint = "AWS_ENDPOINT_URL_SECRETS_MANAGER"
)

const service = "secretsmanager"

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
	manager := awsapi.Service{Name: service, Region: part[3], Endpoint: getenv(Endpoint), JSON: "1.1", Getenv: getenv}
	if manager.Endpoint == "" {
		manager.Endpoint = "https://" + service + "." + manager.Region + ".amazonaws.com"
	}
	question := map[string]string{"SecretId": arn}
	if version := getenv(Version); version != "" {
		question["VersionId"] = version
	}
	text, err := manager.Ask(ctx, "secretsmanager.GetSecretValue", question)
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
