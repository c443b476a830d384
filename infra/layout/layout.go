// Package layout holds the tests that hold the repository together: tables and folders agree, and every package imports
// only what it may. It owns no code.
package layout
