// Package web tests the UI in a browser: the image, as package e2e/site runs it, before the real server with real rows.
// The tests themselves are in web/browser, and drive Debian's Chromium by playwright-core. This package starts what
// they need and runs them.
//
//	web_test.go      the users, and npm
//	sites_test.go    the ways to the page: the image, a static file server under a sub-path, a proxy that ends TLS,
//	                 client certificates
//	control_test.go  the server, which the browser tests stop and start
//	cluster_test.go  the objects that users would have applied
//	rows_test.go     the rows that a controller would have written
//	many_test.go     a namespace with much of everything
//
// It needs Node, npm, root, and what scripts/ui-root prepares. The suite web does all that.
package web
