// Package metrics holds the Prometheus metrics of a controller.
//
// Label values come from small sets: resources, queues, phases, reasons. They are never names that a user chose.
package metrics
