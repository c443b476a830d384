package main

// measure is one row: what must hold of the sum of ours, alone or beside the sum of others.
type measure struct {
	what   string
	ours   []string
	beside []string
	// unit is that of both sums times scale.
	unit  string
	scale float64
	// minus compares the difference of the two, not their ratio.
	minus bool
	// limit is the most that is allowed of the ratio, of the difference, or of ours alone.
	limit float64
}

func (m measure) sign() string {
	switch {
	case m.beside == nil:
		return "at most"
	case m.minus:
		return "more by"
	}
	return "times"
}

func one(name string) []string { return []string{name} }

const (
	nanosecond = 1e-6 // in ms
	already    = 1
)

// table is what left4me has to reach.
var table = []measure{
	{"M1 build of 200 items of 1 MiB, 50 ms before each, by aria2c", one("shared/vpkcache ManyItems/vpkcache ns/op"), one("shared/vpkcache ManyItems/aria2c ns/op"), "ms", nanosecond, false, 1},
	{"M2 item of 128 MiB, 4 MiB/s a connection, by aria2c", one("shared/vpkcache LargeItem/vpkcache ns/op"), one("shared/vpkcache LargeItem/aria2c ns/op"), "ms", nanosecond, false, 1},
	{"M2 its memory", one("shared/vpkcache LargeItem/vpkcache peak-MiB"), nil, "MiB", already, false, 48},
	{"M3 5,000 items, nothing to do: a tenth of the first design's 360 ms", []string{"shared/vpkcache NothingToDo/vpkcache ns/op", "shared/linkfarm NothingToDo/linkfarm ns/op"}, nil, "ms", nanosecond, false, 36},
	{"M3 the same by bare system calls", []string{"shared/vpkcache NothingToDo/vpkcache ns/op", "shared/linkfarm NothingToDo/linkfarm ns/op"}, []string{"shared/vpkcache NothingToDo/bare ns/op", "shared/linkfarm NothingToDo/bare ns/op"}, "ms", nanosecond, false, 2},
	{"M4 warm page, by the same in-process", one("localrun/gateway Page/warm ms-median"), one("localrun/gateway Page/in-process ms-median"), "ms", already, true, 0.3},
	{"M5 cold page with its database, by a minimal function", one("localrun ColdPage ms-median"), one("localrun/lambdahost Cold ms-median"), "ms", already, false, 3},
	{"M6 8 processes claim 4,000 jobs, by bare UPDATEs", one("shared/jobstore Claims/claim ns/op"), one("shared/jobstore Claims/bare ns/op"), "ms", nanosecond, false, 3},
	amongFinished("claim_and_hand_back"),
	amongFinished("get"),
	amongFinished("list_all"),
	amongFinished("live_of_overlay"),
	amongFinished("enqueue_what_is_queued"),
	{"M8 refresh of 10,000 items, by one batch after another", one("functions/refresh-workshop-items Refresh/as_it_is ns/op"), one("functions/refresh-workshop-items Refresh/one_batch_after_another ns/op"), "ms", nanosecond, false, 0.25},
	{"M8 its requests at once", one("functions/refresh-workshop-items Refresh/as_it_is requests-at-once"), nil, "", already, false, 4},
	{"M9 localrun up, idle for a minute: processes of functions", one("localrun Idle processes"), nil, "", already, false, 0},
	{"M9 its memory", one("localrun Idle MiB"), nil, "MiB", already, false, 30},
	{"a queued job starts, by the socket", one("localrun RowToRunning/socket ms-most"), nil, "ms", already, false, 1000},
	{"a queued job starts, by the queue", one("localrun RowToRunning/queue ms-most"), nil, "ms", already, false, 2000},
}

func amongFinished(what string) measure {
	name := "shared/jobstore AmongFinished/" + what
	return measure{"M7 " + what + " beside a million ended jobs", one(name + "/1000000 ns/op"), one(name + "/0 ns/op"), "ms", nanosecond, false, 1.5}
}
