// Package answer has the JSON of the API's answers, made of rows and of objects. openapi.yaml describes it for callers.
//
// # Invariants
//
//   - It is pure: it reads nothing, and knows neither requests nor callers. Its arguments are what the caller may see.
//   - A list is encoded as [], never as null. A time that has not come is missing, as is a text that is empty.
package answer
