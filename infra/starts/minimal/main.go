// Command minimal is the smallest possible Lambda function, with which command starts compares the others.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() { lambda.Start(func() error { return nil }) }
