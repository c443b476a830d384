package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPackagesAreReproducible(t *testing.T) {
	from := t.TempDir()
	programs := map[string]string{"home": strings.Repeat("program of home ", 4000), "asset": "program of asset"}
	pack := func(when time.Time, mode os.FileMode) (release string, packs map[string][]byte) {
		for name, text := range programs {
			path := filepath.Join(from, name)
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, when, when); err != nil {
				t.Fatal(err)
			}
		}
		to := t.TempDir()
		var table bytes.Buffer
		if err := zipAll(from, to, &table); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(table.String(), "62") || !strings.Contains(table.String(), "all 2") {
			t.Errorf("sizes:\n%s", table.String())
		}
		packs = map[string][]byte{}
		for name := range programs {
			b, err := os.ReadFile(filepath.Join(to, name+".zip"))
			if err != nil {
				t.Fatal(err)
			}
			packs[name] = b
		}
		b, err := os.ReadFile(filepath.Join(to, "release"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b), packs
	}
	release, packs := pack(time.Unix(1_000_000_000, 0), 0o755)
	again, same := pack(time.Unix(1_700_000_000, 0), 0o700)
	if release != again || len(strings.TrimSpace(release)) != 20 {
		t.Errorf("release %q, then %q", release, again)
	}
	for name, b := range packs {
		if !bytes.Equal(b, same[name]) {
			t.Errorf("%s.zip differs", name)
		}
		r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 {
			t.Fatalf("%s.zip holds %+v", name, r.File)
		}
		f, err := r.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil || string(text) != programs[name] {
			t.Errorf("%s.zip holds %.20q, %v", name, text, err)
		}
	}
	programs["home"] += "."
	if other, _ := pack(time.Unix(1_700_000_000, 0), 0o755); other == release {
		t.Error("different programs have the same release")
	}
}

func TestZipWithoutPrograms(t *testing.T) {
	if err := zipAll(t.TempDir(), t.TempDir(), io.Discard); err == nil {
		t.Error("no error")
	}
}
