package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

// keyed is a list that strategic merge merges by a key of its entries.
type keyed struct{ list, key string }

var (
	podLists = []keyed{
		{"volumes", "name"},
		{"volumeMounts", "mountPath"},
		{"env", "name"},
		{"imagePullSecrets", "name"},
		{"initContainers", "name"},
	}
	containerLists = []keyed{{"volumeMounts", "mountPath"}, {"env", "name"}}
)

// asMap returns the fields of a template that are not empty.
func asMap(t *v1alpha1.TaskTemplate) (map[string]any, error) {
	encoded, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return decodeMap(encoded)
}

// decodeMap decodes JSON and keeps numbers as they are written.
func decodeMap(encoded []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	decoded := map[string]any{}
	err := decoder.Decode(&decoded)
	return decoded, err
}

// mergeTemplates merges over into base by strategic merge, as the fields of a Pod are merged. It changes both. Of
// fields that exclude each other (script or command, the sources of a volume or variable) only those of over remain.
// Lists keep the order of base, which matters for variables and init containers. New entries follow.
func mergeTemplates(base, over map[string]any) ([]byte, error) {
	if key := directive(over); key != "" {
		return nil, fmt.Errorf("a key must not begin with $: %q", cut(key))
	}
	scriptWins(base)
	scriptWins(over)
	_, script := over["script"]
	_, command := over["command"]
	_, args := over["args"]
	switch {
	case script:
		over["command"], over["args"] = nil, nil
	case command || args:
		over["script"] = nil
	}
	pod, _ := over["podTemplate"].(map[string]any)
	under, _ := base["podTemplate"].(map[string]any)
	sort, err := sorter(under, pod, podLists)
	if err != nil {
		return nil, fmt.Errorf("podTemplate.%w", err)
	}
	sortContainer := map[any]func(map[string]any){}
	for i, container := range items(pod["initContainers"]) {
		name := container["name"]
		if sortContainer[name], err = sorter(
			find(under["initContainers"], name), container, containerLists,
		); err != nil {
			return nil, fmt.Errorf("podTemplate.initContainers[%d].%w", i, err)
		}
		retainSources(container["env"])
		for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
			retainHandler(container[probe])
		}
		lifecycle, _ := container["lifecycle"].(map[string]any)
		retainHandler(lifecycle["postStart"])
		retainHandler(lifecycle["preStop"])
	}
	for _, volume := range items(pod["volumes"]) {
		retainGiven(volume)
	}
	retainSources(pod["env"])
	for _, context := range []string{"securityContext", "containerSecurityContext"} {
		fields, _ := pod[context].(map[string]any)
		for _, profile := range []string{"seccompProfile", "appArmorProfile"} {
			if given, ok := fields[profile].(map[string]any); ok {
				retainGiven(given)
			}
		}
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(base, over, v1alpha1.TaskTemplate{})
	if err != nil {
		return nil, err
	}
	if pod, ok := merged["podTemplate"].(map[string]any); ok {
		sort(pod)
		for _, container := range items(pod["initContainers"]) {
			if sort := sortContainer[container["name"]]; sort != nil {
				sort(container)
			}
		}
	}
	return json.Marshal(merged)
}

// scriptWins removes command and args from a template that has a script.
func scriptWins(template map[string]any) {
	if _, script := template["script"]; script {
		delete(template, "command")
		delete(template, "args")
	}
}

// directive returns a key, at any depth, that strategic merge would interpret as a directive.
func directive(value any) string {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if strings.HasPrefix(key, "$") {
				return key
			}
			if found := directive(value[key]); found != "" {
				return found
			}
		}
	case []any:
		for _, inner := range value {
			if found := directive(inner); found != "" {
				return found
			}
		}
	}
	return ""
}

// sorter returns a function that sorts the merged lists: first the entries of base in their order, then those of
// over. It rejects entries of over with the same key, because strategic merge would silently keep the last one.
func sorter(base, over map[string]any, lists []keyed) (func(merged map[string]any), error) {
	ranks := make([]map[any]int, len(lists))
	for i, l := range lists {
		rank, given := map[any]int{}, map[any]bool{}
		for _, entry := range items(base[l.list]) {
			rank[entry[l.key]] = len(rank)
		}
		for _, entry := range items(over[l.list]) {
			key := entry[l.key]
			if given[key] {
				return nil, fmt.Errorf("%s: two entries have the %s %q", l.list, l.key, cut(fmt.Sprint(key)))
			}
			given[key] = true
			if _, known := rank[key]; !known {
				rank[key] = len(rank)
			}
		}
		ranks[i] = rank
	}
	return func(merged map[string]any) {
		for i, l := range lists {
			if entries, ok := merged[l.list].([]any); ok {
				slices.SortStableFunc(entries, func(a, b any) int {
					return ranks[i][a.(map[string]any)[l.key]] - ranks[i][b.(map[string]any)[l.key]]
				})
			}
		}
	}, nil
}

// retainSources makes the source of a variable in over replace that of base. A variable without a source is empty.
func retainSources(env any) {
	for _, variable := range items(env) {
		if from, ok := variable["valueFrom"].(map[string]any); ok {
			retainGiven(from)
		}
		retainGiven(variable)
	}
}

// retainGiven makes strategic merge drop the fields of base that an entry of over lacks.
func retainGiven(entry map[string]any) {
	keys := make([]any, 0, len(entry))
	for key := range entry {
		keys = append(keys, key)
	}
	entry["$retainKeys"] = keys
}

// retainHandler makes strategic merge drop the handler of base if over has one.
func retainHandler(of any) {
	handlers := []string{"exec", "grpc", "httpGet", "sleep", "tcpSocket"}
	given, _ := of.(map[string]any)
	if !slices.ContainsFunc(handlers, func(handler string) bool { return given[handler] != nil }) {
		return
	}
	for _, handler := range handlers {
		if given[handler] == nil {
			given[handler] = nil
		}
	}
}

// find returns the object with a name in a list.
func find(list any, name any) map[string]any {
	for _, object := range items(list) {
		if object["name"] == name {
			return object
		}
	}
	return nil
}

// items returns the objects of a list. It returns none if the value is not a list.
func items(list any) []map[string]any {
	values, _ := list.([]any)
	objects := make([]map[string]any, 0, len(values))
	for _, value := range values {
		if object, ok := value.(map[string]any); ok {
			objects = append(objects, object)
		}
	}
	return objects
}

// explain adds the DagTask to a fault of a task, if the faulty field comes from there.
func (e *expansion) explain(fault *field.Error) *field.Error {
	at, found := strings.CutPrefix(fault.Field, "spec.task[")
	number, at, _ := strings.Cut(at, "]")
	position, err := strconv.Atoi(number)
	if !found || err != nil || position >= len(e.spec.Task) || e.spec.Task[position].TaskRef == nil {
		return fault
	}
	ref := e.spec.Task[position].TaskRef
	if ref == e.given.Task[position].TaskRef {
		return fault // not merged
	}
	given, err := asMap(&e.given.Task[position].TaskTemplate)
	if err != nil {
		return fault
	}
	origin := ""
	switch name, rest := element(at); name {
	case "name", "runAfter", "taskRef", "":
		return fault
	default:
		origin = provenance(given, name, rest)
	}
	if origin == "" {
		return fault
	}
	explained := *fault
	explained.Detail = strings.TrimSpace(
		fmt.Sprintf("%s (%s DagTask %q, version %d)", fault.Detail, origin, ref.Name, ref.Version),
	)
	return &explained
}

// provenance returns how the DagTask contributes to the field at a path: not at all, alone, or to a merged list or map.
func provenance(given map[string]any, name, rest string) string {
	merged := name == "podTemplate"
	for {
		value, ok := given[name]
		if !ok {
			return "from"
		}
		fields, isMap := value.(map[string]any)
		if !isMap || rest == "" || rest[0] == '[' {
			break
		}
		given = fields
		name, rest = element(rest)
	}
	if merged && strings.HasPrefix(rest, "[") {
		return "merged with"
	}
	return ""
}

// element splits the first name from a path.
func element(path string) (name, rest string) {
	path = strings.TrimPrefix(path, ".")
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end], path[end:]
	}
	return path, ""
}
