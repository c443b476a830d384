package vpkcache

import (
	"bytes"
	"testing"
)

func FuzzReadRecord(f *testing.F) {
	raw, err := record{Of: "x", Done: [][2]int64{{0, 5}, {7, 100}}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, int64(100))
	f.Add([]byte(`{"of":"x","done":[[-1,1]]}`), int64(1))
	f.Fuzz(func(t *testing.T, raw []byte, size int64) {
		size &= 1<<16 - 1
		file := bytes.NewReader(append(make([]byte, recordOffset(size)), raw...))
		at := int64(-1)
		for _, d := range readRecord(file, "x", size) {
			if d[0] <= at || d[0] < 0 || d[1] <= d[0] || d[1] > size {
				t.Fatalf("%s was taken for a file of %d", raw, size)
			}
			at = d[1]
		}
	})
}
