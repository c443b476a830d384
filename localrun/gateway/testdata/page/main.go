// Command page is the function of the gateway's end-to-end tests and benchmarks: a handler of net/http behind lambdahttp,
// or, if TEST_RAW is set, something that answers what the query says, be it an answer or not.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/localrun/gateway/testdata/pages"
	"left4me/shared/fn/lambdahttp"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	adapter := &lambdahttp.Adapter{
		Handler: http.HandlerFunc(pages.Serve),
		Host:    "left4me.example",
		Failed: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "the function's own error page", http.StatusInternalServerError)
		}),
		Log: log,
	}
	if os.Getenv("TEST_RAW") == "" {
		lambda.Start(adapter)
	}
	lambda.Start(raw{adapter})
}

// raw answers what the query's `raw` says, whatever it is.
type raw struct{ *lambdahttp.Adapter }

func (f raw) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	r, err := lambdahttp.NewRequest(ctx, payload, "")
	if err != nil {
		return nil, err
	}
	return []byte(r.URL.Query().Get("raw")), nil
}
