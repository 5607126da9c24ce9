// Package process has what the binaries of Kontroler share: flags with their environment variables, the log, signals,
// the version, and probes.
//
// It is below apis, which every package may import, because the controller and the server do not import each other. It
// knows nothing of their subjects.
//
// # Invariants
//
//   - ParseArgs and Apply report every fault of a configuration, not only the first.
//   - A fault never quotes a database URL, which may contain a password.
package process
