//go:build !race

package jobstore

// competed is how many jobs processes compete for.
const competed = 240
