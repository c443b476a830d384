package main

import (
	"slices"
	"strings"
)

// measure is a limit for the sum of our results, alone or compared with the sum of the peer's.
type measure struct {
	title      string
	ours, peer []string
	// unit is the unit of both sums after they are multiplied by scale.
	unit  string
	scale float64
	// difference compares by ours - peer instead of ours / peer.
	difference bool
	// limit is the highest allowed ratio or difference, or value if there is no peer.
	limit float64
}

// relation returns the words that precede the limit.
func (m measure) relation() string {
	switch {
	case m.peer == nil:
		return "at most"
	case m.difference:
		return "more by"
	}
	return "times"
}

func one(name string) []string { return []string{name} }

// Scales.
const (
	nanosecond = 1e-6 // to ms
	unscaled   = 1
)

// table has all measures.
var table = slices.Concat([]measure{
	{"M1 build of 200 items of 1 MiB, 50 ms before each, by aria2c", one("shared/vpkcache ManyItems/vpkcache ns/op"), one("shared/vpkcache ManyItems/aria2c ns/op"), "ms", nanosecond, false, 1},
	{"M2 item of 128 MiB, 4 MiB/s a connection, by aria2c", one("shared/vpkcache LargeItem/vpkcache ns/op"), one("shared/vpkcache LargeItem/aria2c ns/op"), "ms", nanosecond, false, 1},
	{"M2 its memory", one("shared/vpkcache LargeItem/vpkcache peak-MiB"), nil, "MiB", unscaled, false, 48},
	{"M3 5,000 items, nothing to do: a tenth of the first design's 360 ms", []string{"shared/vpkcache NothingToDo/vpkcache ns/op", "shared/linkfarm NothingToDo/linkfarm ns/op"}, nil, "ms", nanosecond, false, 36},
	{"M3 the same by bare system calls", []string{"shared/vpkcache NothingToDo/vpkcache ns/op", "shared/linkfarm NothingToDo/linkfarm ns/op"}, []string{"shared/vpkcache NothingToDo/bare ns/op", "shared/linkfarm NothingToDo/bare ns/op"}, "ms", nanosecond, false, 2},
	{"M4 warm page, by the same in-process", one("localrun/gateway Page/warm ms-median"), one("localrun/gateway Page/in-process ms-median"), "ms", unscaled, true, 0.3},
	{"M5 cold page with its database, by a minimal function", one("localrun ColdPage ms-median"), one("localrun/lambdahost Cold ms-median"), "ms", unscaled, false, 3},
	{"M6 8 processes claim 4,000 jobs, by bare UPDATEs", one("shared/jobstore Claims/claim ns/op"), one("shared/jobstore Claims/bare ns/op"), "ms", nanosecond, false, 3},
	amongFinished("claim_and_hand_back"),
	amongFinished("get"),
	amongFinished("list_all"),
	amongFinished("live_of_overlay"),
	amongFinished("enqueue_what_is_queued"),
	{"M8 refresh of 10,000 items, by one batch after another", one("functions/refresh-workshop-items Refresh/as_it_is ns/op"), one("functions/refresh-workshop-items Refresh/one_batch_after_another ns/op"), "ms", nanosecond, false, 0.25},
	{"M8 its requests at once", one("functions/refresh-workshop-items Refresh/as_it_is requests-at-once"), nil, "", unscaled, false, 4},
	{"M9 localrun up, idle for a minute: processes of functions", one("localrun Idle processes"), nil, "", unscaled, false, 0},
	{"M9 its memory", one("localrun Idle MiB"), nil, "MiB", unscaled, false, 30},
	{"M14 start of a server with 2,000 items in 20 overlays, by cp -al of them", one("localrun ServerStart/one ms-median"), one("localrun ServerStart/cp_-al ms-median"), "ms", unscaled, false, 2},
	{"M14 the slowest start", one("localrun ServerStart/one ms-most"), nil, "ms", unscaled, false, 500},
	{"ten servers started at once: the slowest, by one after the other", one("localrun ServerStart/ten_at_once ms-most"), one("localrun ServerStart/one ms-most"), "ms", unscaled, false, 10},
	{"M15 50 running servers are looked at every 10 seconds: time of one core", one("localrun ServerChecks percent"), nil, "%", unscaled, false, 2},
	{"M15 rows that are written while nothing changes", one("localrun ServerChecks rows"), nil, "", unscaled, false, 0},
	{"M16 claim on one of 20 hosts, by the same on the only one", one("shared/jobstore Hosts/claim_and_hand_back/20 ns/op"), one("shared/jobstore Hosts/claim_and_hand_back/1 ns/op"), "ms", nanosecond, false, 1.5},
	{"M16 page of one of 1,000 overlays on 20 hosts, by the same on the only one", one("functions/overlay-show Hosts/page/20 ns/op"), one("functions/overlay-show Hosts/page/1 ns/op"), "ms", nanosecond, false, 1.5},
	{"M17 what is in 5,000 cached files, by one pread of each index", one("shared/vpk Contents/vpk ns/op"), one("shared/vpk Contents/pread ns/op"), "ms", nanosecond, false, 3},
}, underLoad("150 slow readers"), underLoad("1500 idle connections"), underLoad("10000 idle connections"),
	underLoad("1500 idle connections for 1024 files"), underLoad("1000 visitors"), []measure{
		{"a queued job starts, by the socket", one("localrun RowToRunning/socket ms-most"), nil, "ms", unscaled, false, 1000},
		{"a queued job starts, by the queue", one("localrun RowToRunning/queue ms-most"), nil, "ms", unscaled, false, 2000},
	})

// underLoad returns the measures of the memory of all processes under a load.
func underLoad(load string) []measure {
	name := "localrun Load/" + strings.ReplaceAll(load, " ", "_")
	return []measure{
		{"M13 " + load + ": memory of all processes", one(name + " most-MiB"), nil, "MiB", unscaled, false, 512},
		{"M13 ten seconds later", one(name + " later-MiB"), nil, "MiB", unscaled, false, 100},
	}
}

func amongFinished(query string) measure {
	name := "shared/jobstore AmongFinished/" + query
	return measure{"M7 " + query + " beside a million ended jobs", one(name + "/1000000 ns/op"), one(name + "/0 ns/op"), "ms", nanosecond, false, 1.5}
}
