// Package webhook notifies the receivers of webhooks that tasks and runs have ended.
//
//	notifier.go  claims notifications from the outbox and sends them
//	deliver.go   one delivery: the webhook, the key, the request, its record, the next try
//	payload.go   the body, the id and the signature of a notification
//	send.go      the HTTP client
//	guard.go     the addresses that the client may connect to
//
// The outbox is a table. A notification is written in the transaction that ends its task or run, and claimed by the
// leader when it is due. Only one notification of a run is due at a time (package store), so a run's notifications
// arrive in order.
//
// Invariants:
//   - A notification is delivered at least once, or parked after a day. A delivery that was not recorded is repeated.
//   - The id and the body of a notification are the same in every delivery.
//   - The client checks an address when it connects, after DNS and after every redirect. It uses no proxy, which would
//     hide the address.
//   - A request is bounded in time, in redirects, and in the number of bytes read from the answer.
//   - No error and no stored part of an answer contains the URL, a part of the URL that may be a token, or the key.
package webhook
