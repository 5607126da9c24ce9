// Package completer plays scheduler and kubelet in a cluster without nodes. Pods start, run for a time, end with an
// exit code, and stop when they are deleted, but no container runs. Tests and benchmarks of rows, resources and time
// use it instead of a node, because a Pod then costs three small requests instead of seconds of processor time.
//
//	completer.go  the watch of the Pods, and the gates that tests open
//	node.go       the Node object, its status and its Lease
//	pod.go        a Pod from its creation to its end
//	script.go     the scripts of Pods
//
// The package does not depend on Kontroler. The command of the first container of a Pod is a script (see Command). A
// Pod with another command succeeds immediately.
//
// It follows the rules of the API server. A Pod is bound before it runs. After a deletion it runs until the end of its
// grace period. Then the completer confirms the end: it deletes the Pod with a grace period of 0 and the UID as
// precondition. It never removes a finalizer. Every status patch carries the UID of the Pod.
//
// Some things need a node: containers that write files, logs or their environment; Events of Pods; init containers and
// sidecars; images that are pulled or missing; volumes, including the binding of claims; probes; requests and limits;
// several nodes, and their loss. The completer does respect activeDeadlineSeconds of a Pod.
package completer
