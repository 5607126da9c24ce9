// Package completer plays the kubelet, and the scheduler before it, in a cluster without nodes: Pods start, run for a
// time, end with an exit code and stop when they are deleted, but no container ever runs. Tests and benchmarks that are
// about rows, resources and time use it instead of a node: a Pod costs three small requests instead of seconds of
// processor time.
//
//	completer.go  the watch of the Pods, the gates that tests open
//	node.go       the Node object, its status and its Lease
//	pod.go        one Pod from its creation to its end
//	script.go     what the command of a Pod says
//
// It knows Pods and Nodes, and nothing of Kontroler. What a Pod does is in the command of its first container, a script
// of few words (see script.go); a Pod with any other command succeeds at once.
//
// It follows the API server's rules. A Pod is bound before it runs. A deletion gives it its grace period, after which the
// completer confirms the end: it deletes the Pod with a grace period of 0 and the Pod's UID as precondition. Finalizers
// are the API server's to respect, and the completer never removes one. Every status patch carries the Pod's UID.
//
// What can never happen here, so that tests of it need a node: a container that writes a file, a log or its environment;
// Events of the Pod; init containers and sidecars that run; an image that is pulled or missing; a volume that is mounted,
// also a claim need not be bound; a probe; a request or limit that counts; two nodes, or a node that is lost. The Pod's
// own activeDeadlineSeconds is kept.
package completer
