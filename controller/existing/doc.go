// Package existing removes the finalizers of the existing Kontroler from deleted objects. That project has the same
// custom resources. Once it is uninstalled, nothing else would remove its finalizers.
//
// Every controller that watches an object does this, whichever controller owns it. A repetition changes nothing. The
// finalizers of an object without a deletionTimestamp stay.
package existing
