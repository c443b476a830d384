//go:build !nofile

package db

import _ "modernc.org/sqlite" // the driver behind file: URLs

// embeddedDriver reports whether file: URLs can be opened.
const embeddedDriver = true
