package text_test

import (
	"testing"
	"unicode/utf8"

	"left4me/shared/text"
)

func TestTruncate(t *testing.T) {
	for s, want := range map[string]string{
		"":             "",
		"ten bytes!":   "ten bytes!",
		"eleven byte":  "eleven …",
		"bytes7üü":     "bytes7üü",
		"bytesäöüß":    "bytesä…",
		"\xff":         "�",
		"\xff\xff\xff": "�",
	} {
		got := text.Truncate(s, 10)
		if got != want {
			t.Errorf("Truncate(%q, 10) = %q, want %q", s, got, want)
		}
		if len(got) > 10 || !utf8.ValidString(got) {
			t.Errorf("Truncate(%q, 10) = %q", s, got)
		}
	}
}

func TestList(t *testing.T) {
	items := []string{"a", "b", "c", "d", "e"}
	for limit, want := range map[int]string{2: "a, b and 3 more", 4: "a, b, c, d and 1 more", 5: "a, b, c, d, e", 9: "a, b, c, d, e"} {
		if got := text.List(items, limit, ", "); got != want {
			t.Errorf("List(%d) = %q, want %q", limit, got, want)
		}
	}
	if got := text.List(nil, 2, ", "); got != "" {
		t.Errorf("List of nothing = %q", got)
	}
}
