package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rogpeppe/go-internal/testscript"
)

var saysMetricsAt = regexp.MustCompile(`"msg":"serving metrics","address":"([^"]+)"`)

// metricsURL waits until a program has said where its metrics are.
func (s *script) metricsURL(ts *testscript.TestScript, name string) string {
	p := s.processes[name]
	if p == nil {
		ts.Fatalf("there is no program %s", name)
	}
	return "http://" + p.wait(ts, saysMetricsAt)[1]
}

func fetch(ts *testscript.TestScript, method, url string) (status int, body []byte) {
	r, err := http.NewRequest(method, url, nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	ts.Check(err)
	return resp.StatusCode, body
}

// metric NAME SERIES PATTERN waits until a metric of a program has a value, such as `left4me_downloads_total{result="failed"}`
// with its labels in alphabetical order; with ! it must
// not be there yet, which says something only after an event that it would have come before. Of a histogram SERIES is the number of observations.
func (s *script) metric(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 && !(neg && len(args) == 2) {
		ts.Fatalf("usage: metric NAME SERIES PATTERN, or ! metric NAME SERIES")
	}
	url := s.metricsURL(ts, args[0]) + "/metrics"
	if neg {
		if value, found := series(ts, url)[args[1]]; found {
			ts.Fatalf("%s is %s", args[1], value)
		}
		return
	}
	pattern := regexp.MustCompile("^(" + args[2] + ")$")
	until(ts, args[1]+" is "+args[2], func() bool {
		value, found := series(ts, url)[args[1]]
		return found && pattern.MatchString(value)
	})
}

// series asks for metrics as Prometheus does, and returns their values by their names with labels.
func series(ts *testscript.TestScript, url string) map[string]string {
	status, body := fetch(ts, http.MethodGet, url)
	if status != http.StatusOK {
		ts.Fatalf("%s: status %d: %s", url, status, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	ts.Check(err)
	found := map[string]string{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			key := name
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			found[key] = strconv.FormatFloat(value(family.GetType(), m), 'f', -1, 64)
		}
	}
	return found
}

func value(kind dto.MetricType, m *dto.Metric) float64 {
	switch kind {
	case dto.MetricType_COUNTER:
		return m.GetCounter().GetValue()
	case dto.MetricType_HISTOGRAM:
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetGauge().GetValue()
}

// metrics NAME METHOD PATH STATUS asks the address of a program's metrics for something.
func (s *script) metrics(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: metrics NAME METHOD PATH STATUS")
	}
	if status, body := fetch(ts, args[1], s.metricsURL(ts, args[0])+args[2]); strconv.Itoa(status) != args[3] {
		ts.Fatalf("status %d, want %s: %s", status, args[3], body)
	}
}
