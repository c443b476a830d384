package main

import "fmt"

// promise is the number of a promise.
type promise int

func (p promise) String() string { return fmt.Sprintf("P%d", int(p)) }

// promises are the titles of the promises that are kept so far.
var promises = map[promise]string{
	1:  "two types of overlays, in a registry",
	2:  "an overlay's owner does not depend on its type",
	3:  "who creates what, and without a path",
	4:  "names of overlays",
	5:  "ids never come back",
	6:  "the first build makes the directory, exclusively",
	7:  "who sees which overlays",
	8:  "who changes overlays; renaming",
	9:  "deleting: hidden at once, then the directory, then the row",
	10: "items are shared, and outlive the overlays that hold them",
	11: "what the input box takes",
	12: "collections come whole, or not at all",
	13: "items are for Left 4 Dead 2",
	14: "what Steam does not give is kept as an error",
	15: "adding an item twice says so",
	16: "a change answers with the table, and enqueues one build",
	17: "the columns of the items table",
	18: "what a build fetches, skips and leaves alone",
	19: "a build asks Steam for no metadata",
	20: "no half file under its final name, and one download of two",
	21: "what is checked before a file gets its name",
	22: "downloads in parallel, in ranges, resumed",
	23: "three attempts for each item",
	24: "a partial overlay is never presented as a good one",
	25: "links are made right, and what is not ours is left alone",
	26: "what a build writes into its log",
	27: "cancelling works everywhere",
	28: "refreshing one overlay",
	29: "refreshing all items",
	30: "three ways to ask for a refresh, and one refresh",
	31: "states of a job",
	32: "the oldest job that may start is next",
	33: "what may run beside what",
	34: "builds coalesce, and no change is lost",
	35: "lost workers are replaced, slow ones stop",
	36: "no job starves",
	37: "logs and progress, as they come",
	38: "who sees and cancels which jobs",
	39: "which pages and forms there are",
	40: "signing in and out",
	41: "every form carries a token",
	42: "administrators manage people",
	43: "errors are sentences, faults have a request id",
	44: "a host is known by its id, and a copied disk is refused",
	45: "a job that needs a disk is one host's",
	46: "every overlay is built on every host",
	47: "hosts are listed, and one that is gone for good is removed",
	48: "hosts do not block each other",
	70: "what is in a file is read and shown",
	71: "campaigns and maps, as commands to copy",
}
