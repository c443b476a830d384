// Command schedule-check-game enqueues the daily look for a newer release of the game, on each host.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/job"
)

func main() { fn.Schedule(job.DailyGameCheck) }
