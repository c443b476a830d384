// Command api answers with the description of left4me's API in OpenAPI, which `make infra` generates from the route table.
package main

import (
	_ "embed"
	"net/http"

	"left4me/shared/api"
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
)

//go:embed openapi.json
var description []byte

func main() { web.HTTP(route.API, build) }

func build(*fn.Env) web.Handler {
	return web.HandlerFunc(func(w http.ResponseWriter, _ *web.Request) error {
		w.Header().Set("Content-Type", api.JSON)
		_, err := w.Write(description)
		return err
	})
}
