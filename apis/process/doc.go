// Package process is what the processes of Kontroler have in common for those who run them: flags with environment
// twins, the log, signals, the version, and the answers to probes.
//
// It lies below apis because every part may import apis: the main of the controller and that of the server do not
// import each other. It knows no subject of either.
//
// # Invariants
//
//   - Parse reports every fault of a configuration, not only the first.
//   - A fault never quotes a database URL, which may contain a password.
package process
