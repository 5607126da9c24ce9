// Package informer caches the objects of a kind across namespaces.
//
// Cached objects are shared: nobody changes them. A cache may lag behind the API server. UIDSet bridges that gap where an
// action must not be repeated before its effect is visible.
package informer
