package dbtest

import (
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "0",
		" ;; -- x\n /* ; */ ;": "0",
		"select 1":             "1 SELECT",
		"SELECT 1;":            "1 SELECT",
		"SELECT 1; -- 2":       "1 SELECT",
		"SELECT 1; SELECT 2":   "2 SELECT",
		"SELECT ';', \";\", `;`, [;], 'it''s ; :x'":                                                            "1 SELECT",
		"SELECT a ->> 'x', ?, ?2, :n, @n, $n, ?":                                                               "1 SELECT ? ?2 :n @n $n ?",
		"SELECT :n, :n, ':m' -- :o\n/* :p */":                                                                  "1 SELECT :n",
		"/* x */ WITH a AS (SELECT 1) DELETE FROM b":                                                           "1 WITH",
		"CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END":                                               "1 CREATE",
		"CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT 3; END; SELECT 4": "2 CREATE",
		"CREATE TABLE a (trigger TEXT); SELECT 1":                                                              "2 CREATE",
		"SELECT 'not closed":                                                                                   "1 SELECT",
	} {
		s := scan(text)
		got := strings.TrimSpace(strings.Join(append([]string{string(rune('0' + s.statements)), s.verb()}, s.params...), " "))
		if got != want {
			t.Errorf("scan(%q) = %s, want %s", text, got, want)
		}
	}
}
