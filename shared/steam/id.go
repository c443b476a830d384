package steam

import (
	"fmt"
	"strconv"
)

// ID is the steam id of a workshop item or collection: a positive number of 64 bits in decimal digits, without leading zeros.
type ID string

// ParseID reads a steam id and drops leading zeros. The error is a sentence.
func ParseID(s string) (ID, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return "", fmt.Errorf("%q is not a steam id", printable(s, 40))
	}
	return ID(strconv.FormatUint(n, 10)), nil
}

// FileName is the name of the item's file in the cache, and of the links to it.
func (id ID) FileName() string { return string(id) + ".vpk" }
