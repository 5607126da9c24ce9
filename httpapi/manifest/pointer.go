package manifest

import (
	"strings"

	"kontroler/httpapi/strict"
)

// Pointer returns the JSON pointer of a field path of Kubernetes, such as spec.task[3].podTemplate.nodeSelector[a.b/c].
// The empty path is the whole object.
func Pointer(path string) (pointer string) {
	for path = strings.TrimPrefix(path, "."); path != ""; {
		var step string
		if rest, isKey := strings.CutPrefix(path, "["); isKey {
			step, path, _ = strings.Cut(rest, "]")
			path = strings.TrimPrefix(path, ".")
		} else if end := strings.IndexAny(path, ".["); end < 0 {
			step, path = path, ""
		} else {
			step, path = path[:end], strings.TrimPrefix(path[end:], ".")
		}
		pointer = strict.Pointer(pointer, step)
	}
	return pointer
}
