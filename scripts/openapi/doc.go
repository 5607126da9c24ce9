// Package openapi reads an OpenAPI 3.1 document in the order in which it is written, with its references resolved.
// Programs that make documentation from it, or hold a server to it, share it.
//
// Load refuses a document that those programs could not use: a reference without a target, an operation without an id,
// a summary, a known tag or a role, a path parameter that is not declared.
package openapi
