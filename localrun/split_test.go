package main_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"left4me/shared/db/dbtest"
	"left4me/shared/wake/queue/queuetest"
)

// TestSplitInTwo runs testdata/split: pages that know nothing but a libSQL server and the queue, and an agent with the disk,
// as when the pages are on AWS and the agent is at home.
func TestSplitInTwo(t *testing.T) {
	t.Parallel()
	queue := queuetest.Start(t)
	env := []string{"DATABASE_URL", dbtest.ServeEmpty(t).URL, "JOB_QUEUE_URL", queue.QueueURL}
	for _, name := range []string{"AWS_ENDPOINT_URL_SQS", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		env = append(env, name, queue.Getenv(name))
	}
	testscript.Run(t, scripts("testdata/split", env...))
}
