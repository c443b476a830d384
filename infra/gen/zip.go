package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// maxProgram is the size of the largest program, unzipped, that Lambda accepts.
const maxProgram = 250 << 20

// epoch is the time of every file in a package: the earliest that a zip file can have.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipAll writes a package to/{name}.zip for each program in the directory from, and to/release, a hash of all packages. It
// prints a table of sizes to out.
func zipAll(from, to string, out io.Writer) error {
	programs, err := os.ReadDir(from) // sorted by name
	if err != nil {
		return err
	}
	if len(programs) == 0 {
		return fmt.Errorf("%s holds no programs", from)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "program KiB\tzip KiB\t  function")
	release := sha256.New()
	var unzipped, zipped int
	for _, p := range programs {
		program, err := os.ReadFile(filepath.Join(from, p.Name()))
		if err != nil {
			return err
		}
		if len(program) > maxProgram {
			return fmt.Errorf("%s has %d bytes; Lambda accepts %d", p.Name(), len(program), maxProgram)
		}
		pack, err := zipProgram(program)
		if err != nil {
			return fmt.Errorf("zip %s: %w", p.Name(), err)
		}
		if err := os.WriteFile(filepath.Join(to, p.Name()+".zip"), pack, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(release, "%s %x\n", p.Name(), sha256.Sum256(pack))
		fmt.Fprintf(table, "%d\t%d\t  %s\n", len(program)>>10, len(pack)>>10, p.Name())
		unzipped, zipped = unzipped+len(program), zipped+len(pack)
	}
	fmt.Fprintf(table, "%d\t%d\t  all %d\n", unzipped>>10, zipped>>10, len(programs))
	if err := table.Flush(); err != nil {
		return err
	}
	name := hex.EncodeToString(release.Sum(nil)[:10]) + "\n"
	return os.WriteFile(filepath.Join(to, "release"), []byte(name), 0o644)
}

// zipProgram returns a package for Lambda's runtime provided.al2023: a zip file with the program as bootstrap.
func zipProgram(program []byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, flate.BestCompression)
	})
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: epoch}
	header.SetMode(0o755)
	file, err := w.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
