//go:build race

package jobstore

// competed is smaller here: the race detector makes the embedded database ten times slower, and sees nothing between
// processes.
const competed = 60
