package vpk

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzHeader(f *testing.F) {
	f.Add([]byte{})
	f.Add(pack(1))
	f.Add(append([]byte{0x34, 0x12, 0xAA, 0x55, 2, 0, 0, 0, 1}, make([]byte, 40)...))
	f.Add([]byte{0x34, 0x12, 0xAA, 0x55, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0})
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _, err := Header(bytes.NewReader(content), int64(len(content)))
		signed := bytes.HasPrefix(content, []byte{0x34, 0x12, 0xAA, 0x55})
		switch {
		case err == nil && (!signed || len(content) < 13):
			t.Errorf("%x was taken", content)
		case err != nil && !errors.Is(err, ErrNotVPK):
			t.Errorf("%x: %v", content, err)
		}
	})
}

func TestHeader(t *testing.T) {
	header := func(version, tree byte, length int) []byte {
		return append([]byte{0x34, 0x12, 0xAA, 0x55, version, 0, 0, 0, tree, 0, 0, 0}, make([]byte, length-12)...)
	}
	for name, tt := range map[string]struct {
		content []byte
		ok      bool
	}{
		"v1, empty tree":           {header(1, 1, 13), true},
		"v2, empty tree":           {header(2, 1, 29), true},
		"v1, tree to the end":      {header(1, 8, 20), true},
		"v1, tree beyond the end":  {header(1, 9, 20), false},
		"v2, tree beyond the end":  {header(2, 1, 28), false},
		"no tree":                  {header(1, 0, 20), false},
		"version 0":                {header(0, 1, 40), false},
		"version 3":                {header(3, 1, 40), false},
		"signature in other order": {append([]byte{0x55, 0xAA, 0x12, 0x34}, header(1, 1, 40)[4:]...), false},
		"only a signature":         {header(1, 1, 40)[:4], false},
	} {
		if _, _, err := Header(bytes.NewReader(tt.content), int64(len(tt.content))); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
