// Package metrics holds the Prometheus metrics of a controller. It counts what others report and decides nothing.
//
// Label values come from small sets: resources, queues, phases, reasons. They are never names that a user chose.
package metrics
