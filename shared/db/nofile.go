//go:build nofile

package db

// embeddedDriver says whether file: URLs can be opened. The build for AWS Lambda leaves their driver out: it is half of a
// page's program, and there is no disk there.
const embeddedDriver = false
