// Package versions loads the stored versions of DAGs, and caches those that are used.
//
//	loader.go         the stored versions
//	cache.go          those that are in memory
//	savedversions.go  the stored versions of DAGs that have not changed
//	shared.go         reads that concurrent callers share
//
// What was stored is trusted: a later, stricter check of DAGs does not apply to it. A version that cannot be read does
// not keep its run from being stopped.
package versions
