// Package versions loads the stored versions of DAGs, and caches those that are used.
//
// What was stored is trusted: a later, stricter check of DAGs does not apply to it. A version that cannot be read does
// not keep its run from being stopped.
package versions
