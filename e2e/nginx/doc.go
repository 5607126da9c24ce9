// Package nginx tests the image of the UI: nginx, its configuration and its entry point, before the real server.
// Package e2e/site runs both.
package nginx
