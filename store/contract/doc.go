// Package contract checks that a database user can read the views of schema kontroler_v1 that a reader needs. It reads
// the system's catalogs only, which every user may read, so that a missing privilege is an answer and not an error.
package contract
