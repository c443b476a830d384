package control

import (
	"testing"
	"time"
)

// SetAnswerTime limits until the end of the test how long a game may take until it answers.
func SetAnswerTime(t *testing.T, d time.Duration) {
	before := answerTime
	answerTime = d
	t.Cleanup(func() { answerTime = before })
}
