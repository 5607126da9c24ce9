// Package fault marks the instants at which a controller could die: between a commit and its effect, between two
// effects. In the shipped binary a Point is an empty function, and Now is the machine's clock. Built with the tag
// "faults", for the crash tests, the process kills or stops itself at the point that the environment names:
//
//	KONTROLER_FAULT=kill:run-committed:3           SIGKILL at the third time
//	KONTROLER_FAULT=stop:transaction-open:1        SIGSTOP at the first
//	KONTROLER_FAULT=kill:pod-create:2@run-claimed  counted from when run-claimed was first passed
//	KONTROLER_FAULT_FILE=/path                     where it writes that it was hit, before it is
//
// Such a process can also have a clock of its own:
//
//	KONTROLER_FAULT_CLOCK=10m                      how far it is ahead of the machine's; less than zero: behind
package fault
