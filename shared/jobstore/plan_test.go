package jobstore

import (
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/list"
)

// testPlans asks the database how it would run each statement: none may read all jobs, or all log lines, or all locks (M7).
func testPlans(t *testing.T, w *fixture) {
	args := []any{
		sql.Named("worker", "x"), sql.Named("now", 1), sql.Named("id", 1), sql.Named("attempt", 1),
		sql.Named("lease", 1), sql.Named("operation", "build_overlay"), sql.Named("kind", "overlay"), sql.Named("subject", 1), sql.Named("user", 1),
		sql.Named("before", 9), sql.Named("after", 0), sql.Named("host", "h"), sql.Named("silent", 1), sql.Named("limit", 9), sql.Named("offset", 9), sql.Named("state", "failed"), sql.Named("was", "running"),
		sql.Named("error", ""), sql.Named("lost", 0), sql.Named("lines", "[]"), sql.Named("line", ""), sql.Named("requests", "[]"),
		sql.Named("items_done", 0), sql.Named("items_total", 0), sql.Named("bytes_done", 0), sql.Named("bytes_total", 0), sql.Named("current", ""),
	}
	for name, query := range statements() {
		plan := dbtest.Plan(t, w.DB, query, args...)
		checkPlan(t, name, plan)
		t.Logf("%s:\n\t%s", name, strings.Join(plan, "\n\t"))
	}
}

// The engine of libSQL's servers is older than the embedded one, and may choose otherwise.
func TestPlansOfTheRealEngine(t *testing.T) {
	steps := dbtest.Schema(t)
	schema := len(steps)
	var names []string
	for name, query := range statements() {
		names = append(names, name)
		steps = append(steps, dbtest.Step{Do: "query", SQL: "EXPLAIN QUERY PLAN " + query})
	}
	for i, r := range dbtest.Engine(t, steps) {
		if r.Error != "" {
			t.Errorf("%s: %s", r.Error, steps[i].SQL)
		}
		if i < schema || r.Error != "" {
			continue
		}
		var plan []string
		for _, row := range r.Rows {
			plan = append(plan, fmt.Sprint(row[3]))
		}
		checkPlan(t, names[i-schema], plan)
	}
}

// statements are all that the store says, by a name.
func statements() map[string]string {
	return map[string]string{
		"claim": claimSQL(runnable(), "", true), "claim one": claimSQL(runnable(), justOne, true), "claim without a disk": claimSQL(runnable(), "", false), "holder": holderSQL, "starving": starvingSQL,
		"expired": expiredSQL, "let go": letGoSQL, "take waiting": takeWaitingSQL, "end of host": endOfHostSQL, "sweep": sweepSQL, "cancel": cancelSQL, "cancel all": cancelAllSQL,
		"insert": insertSQL, "older": olderSQL,
		"resume": resumeSQL, "renew": renewSQL, "progress": progressSQL, "cancelling": cancellingSQL, "held": heldSQL, "log": logSQL,
		"finish": finishSQL, "finished": finishedSQL, "hand back": handBackSQL, "hand back all": handBackAllSQL, "worker lost": workerLostSQL, "newest line": newestLineSQL, "append": appendSQL,
		"get": getSQL, "list all": Listing.SQL(list.Query{}), "list of": ofUser.SQL(list.Query{}), "live of": liveOfSQL, "logs": logsSQL, "logs before": logsBeforeSQL, "count live": countLiveSQL,
		"list live": listLiveSQL, "list ended": Ended.SQL(list.Query{}), "list ended in": endedIn.SQL(list.Query{}), "last": lastSQL, "last in": lastInSQL,
	}
}

// checkPlan checks one statement's plan, as EXPLAIN QUERY PLAN gives it.
func checkPlan(t *testing.T, name string, plan []string) {
	t.Helper()
	// Reading queued jobs in their order, and live ones, is what these indexes are for. There are few hosts (h), and few jobs are
	// asked for at once (wanted, r).
	fine := regexp.MustCompile(`^SCAN j USING (COVERING )?INDEX ix_jobs_queued$|^SCAN (j|jobs) USING INDEX (ix_jobs_live|ix_jobs_host|uq_jobs_live_key)$|^SCAN (json_each VIRTUAL TABLE.*|\(subquery-\d+\)|\d+ CONSTANT ROWS?|CONSTANT ROW|r VIRTUAL TABLE.*|wanted|r|h( LEFT-JOIN)?)$`)
	// Where the index of all jobs of an overlay would do as well, in a small database.
	indexes := map[string]string{
		"claim": "INDEX ix_jobs_queued", "expired": "ix_jobs_active (lease_until<?)", "held": "ix_jobs_active (lease_until>?)", "older": "uq_jobs_queued_key (queued_key=? AND <expr>=?)",
		"end of host": "ix_jobs_host (host_id=?)", "take waiting": "ix_jobs_host (host_id=?)",
		"cancel all": "ix_jobs_live (subject_kind=? AND subject_id=? AND operation=?)",
		"live of":    "ix_jobs_live (subject_kind=? AND subject_id=?)", "count live": "SCAN jobs USING INDEX", "list of": "ix_jobs_user (user_id=?)",
		"list live": "SCAN j USING INDEX", "list ended": "SCAN j", "list ended in": "ix_jobs_ended (state=?)", "last": "ix_jobs_operation (operation=?)", "last in": "ix_jobs_operation (operation=?)",
	}
	if index := indexes[name]; !strings.Contains(strings.Join(plan, "\n"), index) {
		t.Errorf("%s does not use %s:\n\t%s", name, index, strings.Join(plan, "\n\t"))
	}
	// These read jobs by id, from the newest on, and stop at the page's end.
	byID := name == "list all" || name == "list ended"
	if strings.HasPrefix(name, "claim") && name != "claim one" && strings.Count(strings.Join(plan, "\n"), "INDEX ix_jobs_active (lease_until<?)") == 0 {
		t.Errorf("%s does not look for lost jobs among the leases", name)
	}
	// Both questions of noHolder.
	if steps := strings.Join(plan, "\n"); strings.HasPrefix(name, "claim") && (!strings.Contains(steps, "INDEX ix_job_locks_exclusive (resource=?") ||
		!strings.Contains(steps, "INDEX ix_jobs_active (lease_until>?)")) {
		t.Errorf("%s does not look for locks among those that are held:\n\t%s", name, strings.Join(plan, "\n\t"))
	}
	for _, step := range plan {
		if byID && strings.Contains(step, "TEMP B-TREE") {
			t.Errorf("%s sorts all jobs: %s", name, step)
		}
		if strings.HasPrefix(step, "SCAN") && !fine.MatchString(step) && !(byID && step == "SCAN j") {
			t.Errorf("%s: %s in\n\t%s", name, step, strings.Join(plan, "\n\t"))
		}
		if strings.Contains(step, "AUTOMATIC") {
			t.Errorf("%s makes an index each time: %s", name, step)
		}
	}
}
