// Command apidocs makes the page /docs of the server from openapi.yaml: every route with its roles, parameters, bodies,
// answers and an example.
//
//	go run ./apidocs -in ../httpapi/openapi.yaml -out ../httpapi/docs.html
//
// The page is one file without scripts, images and fonts. It fits a phone and a wide screen, in light and dark. The
// same document always makes the same page.
package main
