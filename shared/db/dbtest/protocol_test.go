package dbtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ask sends requests to the server, on the stream of *baton unless that is empty. It returns the status and the answer, and
// stores the next baton in *baton.
func ask(t *testing.T, s *Server, path string, baton *string, requests string) string {
	t.Helper()
	body := map[string]any{"requests": json.RawMessage("[" + requests + "]")}
	if *baton != "" {
		body["baton"] = *baton
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		encoded = []byte(requests)
	}
	resp, err := http.Post(s.URL+path, "application/json", bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var next struct{ Baton string }
	if json.Unmarshal(answer, &next) == nil {
		*baton = next.Baton
	}
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(answer)))
}

// Requests that clients rarely send.
func TestRequests(t *testing.T) {
	t.Parallel()
	s := ServeEmpty(t)
	for _, c := range []struct{ path, request, want string }{
		{"/v2/pipeline", `{"type":"execute","stmt":{"sql":"CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR(9))"}}`, `"affected_row_count":0`},
		{"/v2/pipeline", `{"type":"describe","sql":"INSERT INTO t SELECT :a, ?2 WHERE @c AND $d RETURNING b"}`,
			`"params":[{"name":":a","decltype":null},{"name":"?2","decltype":null},{"name":"@c","decltype":null},{"name":"$d","decltype":null}],` +
				`"cols":[{"name":"b","decltype":"VARCHAR(9)"}],"is_explain":false,"is_readonly":false`},
		{"/v2/pipeline", `{"type":"describe","sql":"SELECT ':a', ? -- :b"}`, `"params":[{"name":null,"decltype":null}]`},
		{"/v2/pipeline", `{"type":"describe","sql":"SELECT absent"}`, `"message":"SQLite error: no such column: absent"`},
		{"/v2/pipeline", `{"type":"store_sql","sql_id":1,"sql":"SELECT 7"},{"type":"execute","stmt":{"sql_id":1}}`, `[[{"type":"integer","value":"7"}]]`},
		{"/v2/pipeline", `{"type":"store_sql","sql_id":1,"sql":"x"},{"type":"store_sql","sql_id":1,"sql":"x"}`, `SQL text 1 already exists`},
		{"/v2/pipeline", `{"type":"store_sql","sql_id":1,"sql":"x"},{"type":"close_sql","sql_id":1},{"type":"execute","stmt":{"sql_id":1}}`, `SQL text 1 not found`},
		{"/v2/pipeline", `{"type":"execute","stmt":{"sql":"SELECT 1","sql_id":1}}`, `but not both`},
		{"/v2/pipeline", `{"type":"execute","stmt":{"sql":"SELECT 'a;b' -- ;"}}`, `"value":"a;b"`},
		{"/v2/pipeline", `{"type":"execute","stmt":{"sql":"SELECT 1","want_rows":false}}`, `"rows":[]`},
		{"/v2/pipeline", `{"type":"get_autocommit"}`, `only supported in protocol version hrana3`},
		{"/v3/pipeline", `{"type":"get_autocommit"}`, `"is_autocommit":true`},
		{"/v3/pipeline", `{"type":"execute","stmt":{"sql":"BEGIN"}},{"type":"get_autocommit"}`, `"is_autocommit":false`},
		{"/v3/pipeline", `{"type":"batch","batch":{"steps":[{"stmt":{"sql":"BEGIN"}},{"condition":{"type":"is_autocommit"},"stmt":{"sql":"SELECT 8"}},
			{"condition":{"type":"not","cond":{"type":"ok","step":1}},"stmt":{"sql":"SELECT 9"}},
			{"condition":{"type":"and","conds":[{"type":"ok","step":0},{"type":"error","step":0}]},"stmt":{"sql":"SELECT 8"}},
			{"condition":{"type":"or","conds":[{"type":"ok","step":0},{"type":"error","step":0}]},"stmt":{"sql":"SELECT 9"}}]}}`,
			`null,{"cols":[{"name":"9","decltype":null}],"rows":[[{"type":"integer","value":"9"}]],"affected_row_count":0,"last_insert_rowid":null,"replication_index":null},null,{"cols"`},
		{"/v3/pipeline", `{"type":"batch","batch":{"steps":[{"condition":{"type":"ok","step":0},"stmt":{"sql":"SELECT 8"}}]}}`, `Invalid reference to step`},
		{"/v3/pipeline", `{"type":"close"},{"type":"execute","stmt":{"sql":"SELECT 1"}}`, `Stream for this baton was closed`},
		{"/v3/pipeline", `{"type":"dance"}`, `not recognized`},
		{"/v3/pipeline", `{`, `Cannot deserialize`},
	} {
		if got := ask(t, s, c.path, new(string), c.request); !strings.Contains(got, c.want) {
			t.Errorf("%s gave %s, want %s", c.request, got, c.want)
		}
	}
	for path, want := range map[string]int{"/v2": 200, "/v3": 200, "/v3-protobuf": 404, "/": 404} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestStreamAndTransactionTimeouts(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	s := ServeEmpty(t, func(s *Server) { s.Now = func() time.Time { return at } })
	run := func(baton *string, sql, want string) {
		t.Helper()
		got := ask(t, s, "/v2/pipeline", baton, fmt.Sprintf(`{"type":"execute","stmt":{"sql":%q}}`, sql))
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
	var baton string
	run(&baton, "CREATE TABLE t (a)", `200`)
	used := baton
	run(&baton, "INSERT INTO t VALUES (1)", `"affected_row_count":1,"last_insert_rowid":"1"`)
	run(&used, "SELECT 1", `400 Received a baton that has already been used`)
	invented := "x.1"
	run(&invented, "SELECT 1", `400 Received an invalid baton`)

	// 10 s without a request.
	at = at.Add(10*time.Second - 1)
	run(&baton, "SELECT 1", `200`)
	at = at.Add(10 * time.Second)
	kept := baton
	for range 2 {
		run(&baton, "SELECT 1", `400 {"message":"The stream has expired due to inactivity","code":"STREAM_EXPIRED"}`)
		baton = kept
	}

	// A transaction ends after 5 s. The client gets one error; its later statements run.
	var tx string
	run(&tx, "BEGIN", `200`)
	run(&tx, "INSERT INTO t VALUES (2)", `"affected_row_count":1`)
	at = at.Add(5*time.Second - 1)
	run(&tx, "SELECT 1", `"value":"1"`)
	at = at.Add(1)
	run(&tx, "INSERT INTO t VALUES (3)", `{"message":"Transaction timed out","code":"TRANSACTION_TIMEOUT"}`)
	run(&tx, "INSERT INTO t VALUES (4)", `"affected_row_count":1`)
	run(&tx, "COMMIT", `SQLite error: cannot commit - no transaction is active`)
	run(&tx, "SELECT group_concat(a) FROM t", `"value":"1,4"`)

	// BEGIN is deferred: reads see a snapshot, and a write fails if another stream has written since.
	var other string
	run(&tx, "BEGIN", `200`)
	run(&tx, "SELECT COUNT(*) FROM t", `"value":"2"`)
	run(&other, "INSERT INTO t VALUES (5)", `"affected_row_count":1`)
	run(&tx, "SELECT COUNT(*) FROM t", `"value":"2"`)
	run(&tx, "INSERT INTO t VALUES (6)", `{"message":"SQLite error: database is locked","code":"SQLITE_BUSY"}`)
	run(&tx, "ROLLBACK", `200`)

	// Closing a stream rolls back its transaction.
	run(&tx, "BEGIN IMMEDIATE", `200`)
	run(&tx, "DELETE FROM t", `200`)
	if got := ask(t, s, "/v2/pipeline", &tx, `{"type":"close"}`); !strings.Contains(got, `"baton":null`) {
		t.Error(got)
	}
	run(&other, "SELECT COUNT(*) FROM t", `"value":"3"`)
}
