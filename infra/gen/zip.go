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

// lambdaLimit is what Lambda takes as a function's code, unzipped.
const lambdaLimit = 250 << 20

// epoch is the time of every file in a package: the oldest that a zip file can hold.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipAll writes a package for each program in the directory from, and to/release, a name made from all their bytes. It
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
		if len(program) > lambdaLimit {
			return fmt.Errorf("%s has %d bytes; Lambda takes %d", p.Name(), len(program), lambdaLimit)
		}
		pack, err := packed(program)
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

// packed is a package for Lambda's runtime provided.al2023: a zip file with the program under the name bootstrap.
func packed(program []byte) ([]byte, error) {
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
