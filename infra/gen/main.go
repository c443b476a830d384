// Command gen generates the files to run left4me on AWS, from the tables of routes, operations and schedules:
//
//	gen aws DIR         writes the CloudFormation template and CloudFront's router: DIR/template.json and DIR/router.js, and
//	                    the template of the firewall before it: DIR/firewall.json
//	gen zip FROM TO     writes a Lambda package for each program in FROM: TO/{name}.zip. TO/release is a name for all of them
//	gen secret new|done changes ORIGIN_SECRET in the secret's text, from standard input to standard output
//
// Except for secrets, the same input gives the same bytes. It does not use the network: infra/aws/deploy uploads the files.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"left4me/shared/job"
	"left4me/shared/route"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "aws":
		return writeAWS(args[1])
	case len(args) == 3 && args[0] == "zip":
		return zipAll(args[1], args[2], os.Stdout)
	case len(args) == 2 && args[0] == "secret" && (args[1] == "new" || args[1] == "done"):
		return changeSecret(args[1], os.Stdin, os.Stdout)
	}
	return fmt.Errorf("usage: gen aws DIR, gen zip FROM TO, or gen secret new|done")
}

func writeAWS(dir string) error {
	code, err := router(route.All())
	if err != nil {
		return err
	}
	text, err := templateJSON(route.All(), job.All(), job.Schedules())
	if err != nil {
		return err
	}
	wall, err := firewallJSON()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"router.js": code, "template.json": text, "firewall.json": wall} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
