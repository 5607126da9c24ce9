// Package nginx tests the image of the UI: nginx, its configuration and its entry point, before the real server.
//
// The root file system of the image is the directory TEST_UI_ROOT, which the suite unpacks from the archive that
// scripts/images has built. Each test runs it read-only, as user 101, in a mount and a process namespace of its own.
// Whatever listens, listens on an address of 127/8 that the test has for itself.
package nginx
