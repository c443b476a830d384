// Command schedule-refresh enqueues the daily refresh of all workshop items: a timer calls it, on AWS or on a host.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/job"
)

func main() { fn.Schedule(job.DailyRefresh) }
