// Command schedule-refresh enqueues the daily refresh of all workshop items. A timer on AWS or on a host calls it.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/job"
)

func main() { fn.Schedule(job.DailyRefresh) }
