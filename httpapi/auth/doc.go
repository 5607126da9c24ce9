// Package auth authenticates and authorizes callers. An auditor should read it first. Of HTTP it handles only what
// carries credentials and client addresses: the Authorization header, the cookie, and the headers of proxies.
//
// # What it trusts
//
//   - The key file. Whoever reads it can sign tokens, but only for sessions that exist: a token names a row, and the
//     row decides. The file is read again when it changes.
//   - The database of the accounts. Whoever can write to it can act as any user.
//   - The clock of the machine, for expiry.
//   - A proxy that the operator names, by network or by the name in its certificate, for the address and the scheme of
//     the client. Forwarding headers of other peers are ignored.
//   - A client certificate admits a connection. It never says who the user is.
//
// # Invariants
//
//   - A token of a session is a JWT with HS256 and no other algorithm, a known kid, this issuer and audience, and an
//     expiry. An API token is a random text, found by its hash.
//   - Every request reads the row of its session or API token, at most MaxStale ago. After that time every replica
//     applies a logout, a new password, a change of rights, and the deletion of a user.
//   - A streaming response, such as that of events, reads the row periodically. It ends when the credential does, and
//     loses what the user may no longer see. It does not count as use of the session, so it does not keep an idle
//     session alive.
//   - A token of this server in the Authorization header takes precedence, even if it is invalid. Any other value
//     belongs to a proxy. It is ignored if the request has a cookie, or is a login with user and password in its body.
//   - What an API token may do is the intersection of its own rights with those of its user at that moment.
//   - A login with an unknown user takes as long as one with a wrong password.
//   - Failed logins delay further ones of the same user from the same network. Failed logins with unknown users
//     are recorded no more often than those of one user could be.
//   - An address that a proxy names may be forged, if clients reach the server from the proxy's network, and an IPv6
//     client has thousands of networks. After many failed logins of a user through one proxy, one login of that user
//     passes every few seconds, whoever sends it, and an attacker may take every turn. Logins from networks of earlier
//     logins, those without the proxy, and those of other users are not delayed.
//   - Hashing a password takes memory, so few hashes are computed at a time, and few callers wait. One network gets at
//     most half of the places that the others leave. A login that gets no place, or that is delayed, reads and writes
//     no row.
//   - No password, token or key is in an error or in a log.
package auth
