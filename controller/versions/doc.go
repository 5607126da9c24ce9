// Package versions loads the stored versions of DAGs, and caches those that are used.
//
//	loader.go         loads stored versions
//	cache.go          caches loaded versions
//	savedversions.go  remembers the stored versions of DAGs that have not changed
//	shared.go         shares calls between concurrent callers
//
// What was stored is trusted: a later, stricter check of DAGs does not apply to it. A version that cannot be read does
// not keep its run from being stopped.
package versions
