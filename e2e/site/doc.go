// Package site runs the UI as its image ships it, before the real server, for tests.
//
//	process.go  a process that ends with its test
//	server.go   the server
//	nginx.go    nginx of the image: with its entry point, or with a configuration of the test
//
// The root file system of the image is the directory TEST_UI_ROOT, which the suites unpack from the archive that
// scripts/images has built; TEST_SERVER is the server's binary. nginx runs read-only, as user 101, in a mount and a
// process namespace of its own, which needs root. Whatever listens, listens on an address of 127/8 that the test has
// for itself.
package site
