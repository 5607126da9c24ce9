// Package clock tells the time of the database.
//
// All leaders share the database's clock: a due time that one leader wrote means the same to the next, whatever the
// clocks of their machines say.
package clock
