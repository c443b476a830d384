package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"

	"left4me/shared/settings"
)

// changeSecret reads the text of the secret in AWS Secrets Manager and writes it with another ORIGIN_SECRET. step is "new", which
// makes the present one ORIGIN_SECRET_PREVIOUS, or "done", which removes that. Where new has been done and done has not, new changes
// nothing: CloudFront may still send the previous one.
func changeSecret(step string, from io.Reader, to io.Writer) error {
	var values map[string]string
	if err := json.NewDecoder(from).Decode(&values); err != nil {
		return errors.New("the secret is not a JSON object of strings") // without err, which may have a part of it
	}
	switch {
	case step == "done":
		delete(values, settings.OriginSecretPrevious)
	case values[settings.OriginSecret] == "":
		return errors.New("the secret has no " + settings.OriginSecret)
	case values[settings.OriginSecretPrevious] == "":
		values[settings.OriginSecretPrevious] = values[settings.OriginSecret]
		values[settings.OriginSecret] = rand.Text()
	}
	return json.NewEncoder(to).Encode(values)
}
