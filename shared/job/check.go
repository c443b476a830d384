package job

import "time"

// Check is one row of the table of checks: a program that the agent of a host starts again and again while there is something to check. A
// check is no job: most of them find nothing new, and those write nothing.
type Check struct {
	// Name is the check's.
	Name string
	// Function is the folder below functions/ of the program.
	Function string
	// Every is how often it is started, and TimeLimit how long one run may take.
	Every, TimeLimit time.Duration
}

// CheckServers asks the running servers of a host what they are doing (servers.md P62).
var CheckServers = Check{Name: "servers", Function: "check-servers", Every: 10 * time.Second, TimeLimit: time.Minute}

// Checks returns every check. The slice is the caller's.
func Checks() []Check { return []Check{CheckServers} }

// CheckEvent is the event that a check's function is invoked with.
type CheckEvent struct {
	// Host is the id of the host.
	Host string `json:"host"`
}
