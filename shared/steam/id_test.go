package steam_test

import (
	"strings"
	"testing"

	"left4me/shared/steam"
)

func TestParseID(t *testing.T) {
	for text, want := range map[string]steam.ID{
		"7": "7", "3469893120": "3469893120", "007": "7", "18446744073709551615": "18446744073709551615",
		"": "", "0": "", "000": "", "-5": "", "+5": "", " 5": "", "5 ": "", "1_000": "", "0x5": "", "1e3": "", "12a": "", "a": "", "٣": "", "../1": "", "1/2": "", "1\n2": "", "1&2": "",
		"18446744073709551616": "", "123456789012345678901": "",
	} {
		id, err := steam.ParseID(text)
		if id != want || (err == nil) != (want != "") {
			t.Errorf("ParseID(%q) = %q, %v, want %q", text, id, err, want)
		}
		if err != nil && !strings.HasSuffix(err.Error(), "is not a steam id") {
			t.Errorf("ParseID(%q): %v", text, err)
		}
	}
}
