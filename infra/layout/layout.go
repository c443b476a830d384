// Package layout has only tests of the repository's layout: tables and folders agree, and each package imports only packages
// that it may import.
package layout
