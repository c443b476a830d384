package jobstore

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanKeepsOneHarmlessLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain ünï 💥":            "plain ünï 💥",
		"a\tb":                   "a b",
		"a\nb\r\x00\x1b\x7f":     "a\ufffdb\ufffd\ufffd\ufffd\ufffd",
		"a\xff\xfeb":             "a\ufffd\ufffdb",
		"\u202egnp.exe\u2066":    "\ufffdgnp.exe\ufffd",
		"a\u2028b\u0085c":        "a\ufffdb\ufffdc",
		"exactly twenty byte!":   "exactly twenty byte!",
		"one more than that is!": "one more than tha…",
		"seventeen bytesü22222":  "seventeen bytesü…",
	} {
		if got := clean(in, 20); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\xffb")
	f.Add(strings.Repeat("ü", 15))
	f.Add(strings.Repeat("\xff", 50))
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s, 20)
		if len(got) > 20 || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x00\u202e") {
			t.Errorf("clean(%q) = %q", s, got)
		}
		if again := clean(got, 20); again != got {
			t.Errorf("clean(%q) = %q, and cleaned again %q", s, got, again)
		}
	})
}
