// Package metrics is what a controller tells Prometheus. It counts what others report and decides nothing.
//
// Label values come from small sets: resources, queues, phases, reasons. They are never names that a user chose.
package metrics
