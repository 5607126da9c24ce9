// Package web tests the UI in a browser: the bundle in web/dist, served under a sub-path by a static file server, in front
// of the real server with real rows. The tests themselves are in web/browser, and drive Debian's Chromium by
// playwright-core. This package starts what they need and runs them.
//
//	web_test.go      the server, the site, and npm
//	cluster_test.go  the objects that users would have applied
//	rows_test.go     the rows that a controller would have written
//
// It needs Node, npm and the suite web, which builds the bundle first. No other suite runs it.
package web
