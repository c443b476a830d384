package main

import "fmt"

// promise is the number of a promise.
type promise int

func (p promise) String() string { return fmt.Sprintf("P%d", int(p)) }

// promises are the titles of all promises. P1 is the first.
var promises = []string{
	"two types of overlays, in a registry",
	"an overlay's owner does not depend on its type",
	"who creates what, and without a path",
	"names of overlays",
	"ids never come back",
	"the first build makes the directory, exclusively",
	"who sees which overlays",
	"who changes overlays; renaming",
	"deleting: hidden at once, then the directory, then the row",
	"items are shared, and outlive the overlays that hold them",
	"what the input box takes",
	"collections come whole, or not at all",
	"items are for Left 4 Dead 2",
	"what Steam does not give is kept as an error",
	"adding an item twice says so",
	"a change answers with the table, and enqueues one build",
	"the columns of the items table",
	"what a build fetches, skips and leaves alone",
	"a build asks Steam for no metadata",
	"no half file under its final name, and one download of two",
	"what is checked before a file gets its name",
	"downloads in parallel, in ranges, resumed",
	"three attempts for each item",
	"a partial overlay is never presented as a good one",
	"links are made right, and what is not ours is left alone",
	"what a build writes into its log",
	"cancelling works everywhere",
	"refreshing one overlay",
	"refreshing all items",
	"three ways to ask for a refresh, and one refresh",
	"states of a job",
	"the oldest job that may start is next",
	"what may run beside what",
	"builds coalesce, and no change is lost",
	"lost workers are replaced, slow ones stop",
	"no job starves",
	"logs and progress, as they come",
	"who sees and cancels which jobs",
	"which pages and forms there are",
	"signing in and out",
	"every form carries a token",
	"administrators manage people",
	"errors are sentences, faults have a request id",
	"a host is known by its id, and a copied disk is refused",
	"a job that needs a disk is one host's",
	"every overlay is built on every host",
	"a host that is gone for good is removed",
	"hosts do not block each other",
}
