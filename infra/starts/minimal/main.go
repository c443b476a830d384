// Command minimal is the least that a Lambda function can be: what the starts of the others are compared with.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() { lambda.Start(func() error { return nil }) }
