package main

import "runtime/debug"

// The linker sets these to the version and the commit of the checkout; see scripts/build. They are empty in a binary
// that was built by other means.
var stampedVersion, stampedCommit string

// version returns the version of this binary: a tag, or a pseudo-version that contains the time and the commit.
func version() string {
	if stampedVersion != "" {
		return stampedVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// versionLine returns what --version prints: the version, and the commit if it is known.
func versionLine() string {
	line := "controller " + version()
	if stampedCommit != "" {
		line += ", commit " + stampedCommit
	}
	return line
}
