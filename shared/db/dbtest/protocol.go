package dbtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The messages of Hrana over HTTP, versions 2 and 3, in JSON. The names are the protocol's.

type pipelineRequest struct {
	Baton    *string         `json:"baton"`
	Requests []streamRequest `json:"requests"`
}

type pipelineResponse struct {
	Baton   *string        `json:"baton"`
	BaseURL *string        `json:"base_url"`
	Results []streamResult `json:"results"`
}

type streamRequest struct {
	Type  string `json:"type"`
	Stmt  *stmt  `json:"stmt"`
	Batch *batch `json:"batch"`
	sqlText
}

// sqlText is an SQL text, or the number of a stored one.
type sqlText struct {
	SQL   *string `json:"sql"`
	SQLID *int32  `json:"sql_id"`
}

type stmt struct {
	sqlText
	Args      []value    `json:"args"`
	NamedArgs []namedArg `json:"named_args"`
	WantRows  *bool      `json:"want_rows"`
}

type namedArg struct {
	Name  string `json:"name"`
	Value value  `json:"value"`
}

type batch struct {
	Steps []struct {
		Condition *condition `json:"condition"`
		Stmt      stmt       `json:"stmt"`
	} `json:"steps"`
}

type condition struct {
	Type  string      `json:"type"`
	Step  *int        `json:"step"`
	Cond  *condition  `json:"cond"`
	Conds []condition `json:"conds"`
}

type streamResult struct {
	Type     string `json:"type"`
	Response any    `json:"response,omitempty"`
	Error    *fail  `json:"error,omitempty"`
}

// fail is the error of one request. The stream stays open.
type fail struct {
	Message string `json:"message"`
	Code    string `json:"code"`
}

func (f *fail) Error() string { return f.Message }

type column struct {
	Name     *string `json:"name"`
	Decltype *string `json:"decltype"`
}

type stmtResult struct {
	Cols             []column  `json:"cols"`
	Rows             [][]value `json:"rows"`
	AffectedRowCount int64     `json:"affected_row_count"`
	LastInsertRowid  *string   `json:"last_insert_rowid"`
	ReplicationIndex *string   `json:"replication_index"`
}

type batchResult struct {
	StepResults      []*stmtResult `json:"step_results"`
	StepErrors       []*fail       `json:"step_errors"`
	ReplicationIndex *string       `json:"replication_index"`
}

type describeResult struct {
	Params     []column `json:"params"`
	Cols       []column `json:"cols"`
	IsExplain  bool     `json:"is_explain"`
	IsReadonly bool     `json:"is_readonly"`
}

// value is a value of SQLite: nil, int64, float64, string or []byte.
type value struct{ v any }

type wireValue struct {
	Type   string  `json:"type"`
	Value  any     `json:"value,omitempty"`
	Base64 *string `json:"base64,omitempty"`
}

func (v value) MarshalJSON() ([]byte, error) {
	w := wireValue{Value: v.v}
	switch x := v.v.(type) {
	case nil:
		w.Type = "null"
	case int64:
		w.Type, w.Value = "integer", strconv.FormatInt(x, 10)
	case float64:
		w.Type = "float"
	case string:
		w.Type = "text"
	case time.Time:
		// The embedded driver parses texts in columns that are declared as times.
		w.Type, w.Value = "text", x.Format("2006-01-02 15:04:05.999999999")
	case []byte:
		text := base64.RawStdEncoding.EncodeToString(x)
		w.Type, w.Value, w.Base64 = "blob", nil, &text
	default:
		return nil, fmt.Errorf("%T is not a type of SQLite", x)
	}
	return json.Marshal(w)
}

func (v *value) UnmarshalJSON(data []byte) (err error) {
	var w wireValue
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	text, isText := w.Value.(string)
	number, isNumber := w.Value.(float64)
	switch {
	case w.Type == "null":
		v.v = nil
	case w.Type == "integer" && isText:
		v.v, err = strconv.ParseInt(text, 10, 64)
	case w.Type == "float" && isNumber:
		v.v = number
	case w.Type == "text" && (isText || w.Value == nil):
		v.v = text // clients may omit an empty text
	case w.Type == "blob" && w.Base64 != nil:
		v.v, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(*w.Base64, "="))
	default:
		err = fmt.Errorf("%s is not a value", data)
	}
	return err
}
