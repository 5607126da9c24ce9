package dag

import "reflect"

// Bytes estimates the memory of the graph and its spec. Each allocation is rounded up to 16 bytes. It walks the whole
// spec.
func (g *Graph) Bytes() int64 {
	bytes := rounded(int(reflect.TypeFor[Graph]().Size())) + referencedBytes(reflect.ValueOf(g.spec))
	for _, list := range [][]int32{g.parents.start, g.parents.list, g.children.start, g.children.list, g.order} {
		bytes += rounded(4 * cap(list))
	}
	for _, positions := range []map[string]int32{g.positions, g.parameters} {
		bytes += mapBytes(len(positions), 20) // the keys are the spec's
	}
	return bytes
}

// referencedBytes returns the memory that a value refers to, without the value itself.
func referencedBytes(v reflect.Value) (bytes int64) {
	switch v.Kind() {
	case reflect.String:
		return rounded(v.Len())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return rounded(int(v.Elem().Type().Size())) + referencedBytes(v.Elem())
	case reflect.Slice:
		bytes = rounded(v.Cap() * int(v.Type().Elem().Size()))
		for i := range v.Len() {
			bytes += referencedBytes(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			bytes += referencedBytes(v.Field(i))
		}
	case reflect.Map:
		bytes = mapBytes(v.Len(), int(v.Type().Key().Size()+v.Type().Elem().Size()))
		for entries := v.MapRange(); entries.Next(); {
			bytes += referencedBytes(entries.Key()) + referencedBytes(entries.Value())
		}
	}
	return bytes
}

// mapBytes returns the memory of a map. A map has groups of eight entries, is at most seven eighths full, and doubles
// when it is full.
func mapBytes(entries, entry int) int64 {
	if entries == 0 {
		return 0
	}
	groups := 1
	for 8*groups < entries || groups > 1 && 7*groups < entries {
		groups *= 2
	}
	return 48 + rounded(groups*(8+8*entry))
}

// rounded returns the size of an allocation.
func rounded(bytes int) int64 { return int64(bytes+15) &^ 15 }
