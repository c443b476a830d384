//go:build nofile

package db

// embeddedDriver reports whether file: URLs can be opened. The build for AWS Lambda leaves their driver out: it would be half
// of a page's program, and Lambda has no disk for the file.
const embeddedDriver = false
