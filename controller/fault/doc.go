// Package fault marks the points at which tests kill or stop the controller: between a commit and its effect, and
// between two effects. In the shipped binary, Point does nothing and Now is the machine's clock. In a binary that is
// built with the tag "faults", the environment names the point at which the process sends a signal to itself:
//
//	KONTROLER_FAULT=kill:run-committed:3           SIGKILL when it passes run-committed for the third time
//	KONTROLER_FAULT=stop:transaction-open:1        SIGSTOP when it passes transaction-open for the first time
//	KONTROLER_FAULT=kill:pod-create:2@run-claimed  the count begins when run-claimed is passed for the first time
//	KONTROLER_FAULT_FILE=/path                     a file that receives the name of the point before the signal
//
// The clock of such a process can differ from the machine's:
//
//	KONTROLER_FAULT_CLOCK=10m                      ten minutes ahead; a negative duration is behind
package fault
