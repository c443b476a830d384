package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"left4me/shared/text"
)

func TestLineIsOneAndHarmless(t *testing.T) {
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
		if got := text.Line(in, 20); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\xffb")
	f.Add(strings.Repeat("ü", 15))
	f.Add(strings.Repeat("\xff", 50))
	f.Fuzz(func(t *testing.T, s string) {
		got := text.Line(s, 20)
		if len(got) > 20 || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x00\u202e") {
			t.Errorf("Line(%q) = %q", s, got)
		}
		if again := text.Line(got, 20); again != got {
			t.Errorf("Line(%q) = %q, and cleaned again %q", s, got, again)
		}
	})
}
