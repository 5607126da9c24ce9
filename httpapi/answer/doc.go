// Package answer has the JSON of the API's responses, made of rows and of objects. openapi.yaml describes it for
// callers.
//
// # Invariants
//
//   - It is pure: it reads nothing, and knows neither requests nor callers. It gets only what the caller may see.
//   - An empty list is encoded as [], never as null. Zero times and empty texts are omitted.
package answer
