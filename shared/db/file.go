//go:build !nofile

package db

import _ "modernc.org/sqlite" // the driver behind file: URLs

// embeddedDriver says whether file: URLs can be opened.
const embeddedDriver = true
