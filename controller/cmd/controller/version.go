package main

import "kontroler/apis/process"

// The linker sets these to the version and the commit of the checkout; see scripts/build.
var stampedVersion, stampedCommit string

// version is the version of this binary. The linker sets its parts before any variable is initialized.
var version = process.Version{Stamped: stampedVersion, Commit: stampedCommit}
