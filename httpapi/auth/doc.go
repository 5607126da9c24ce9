// Package auth decides who a caller is and what a caller may do. It is what an auditor reads first. It knows HTTP only
// as far as credentials travel in it: the Authorization header, the cookie, and the headers of proxies.
//
// # What it trusts
//
//   - The key file. Whoever reads it can sign tokens, but only for sessions that exist: a token names a row, and the
//     row decides. The file is read again when it changes.
//   - The database of the accounts. Whoever writes to it is everybody.
//   - The clock of the machine, for expiry.
//   - A proxy that the operator names, by network or by the name in its certificate, for the address and the scheme
//     of the client. Nobody else's forwarding headers count.
//   - A client certificate admits a connection. It never says who the user is.
//
// # Invariants
//
//   - A token of a session is a JWT with HS256 and no other algorithm, a known kid, this issuer and audience, and an
//     expiry. An API token is a random text, found by its hash.
//   - Every request reads the row of its session or API token, at most MaxStale ago. After that time a logout, a new
//     password, a change of rights and the end of a user hold on every replica.
//   - An answer that goes on, such as a stream of events, reads the row again and again. It ends or narrows with the
//     row, and is no use of a session, which ends when no request has used it for its time.
//   - A token of this server in the header Authorization decides, also if it is wrong. Anything else there belongs to
//     a proxy, and is no error beside a cookie, or beside user and password in the body of a login.
//   - What an API token may do is the intersection of its own rights with those of its user at that moment.
//   - An unknown user costs a caller the same time as a wrong password.
//   - Failed logins delay further ones of the same user from the same network. They delay nobody else. Those of unknown
//     users are recorded at the rate at which one user's could follow each other.
//   - An address that a proxy names may be forged, if clients reach the server from the proxy's network. So many failed
//     logins of a user through one proxy delay those of the same user through it, a little. They do not delay the user
//     from a network of an earlier login.
//   - Hashing a password takes memory, so few hashes are computed at a time, and few callers wait. A network has at
//     most half of the places that the others leave. A login that finds no place, or must wait longer, reads and
//     writes no row.
//   - No password, token or key is in an error or in a log.
package auth
