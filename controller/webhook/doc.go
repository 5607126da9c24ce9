// Package webhook is the door to the receivers of notifications: what is sent
// to them, and the one HTTP client that sends it. It knows neither the cluster
// nor the database.
//
// Invariants:
//   - An address is judged when its connection is made, after DNS, for every
//     hop: what a name or a redirect leads to cannot slip past. There is no
//     proxy, which would hide it.
//   - A send is bounded in time, in what it reads, and in hops.
//   - No error, and nothing that is kept of an answer, contains the URL, a
//     part of it that may be a token, or the key.
//   - The body and the id of a notification are the same for every try.
package webhook
