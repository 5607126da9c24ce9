package dag

import "reflect"

// Bytes estimates how much memory the graph holds, its spec included: what its values take, each allocation rounded up to
// 16 bytes. It goes through the whole spec.
func (g *Graph) Bytes() int64 {
	bytes := rounded(int(reflect.TypeFor[Graph]().Size())) + held(reflect.ValueOf(g.spec))
	for _, list := range [][]int32{g.parents.start, g.parents.list, g.children.start, g.children.list, g.order} {
		bytes += rounded(4 * cap(list))
	}
	for _, positions := range []map[string]int32{g.positions, g.parameters} {
		bytes += mapBytes(len(positions), 20) // the keys are the spec's
	}
	return bytes
}

// held is how many bytes a value refers to, beside its own.
func held(v reflect.Value) (bytes int64) {
	switch v.Kind() {
	case reflect.String:
		return rounded(v.Len())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return rounded(int(v.Elem().Type().Size())) + held(v.Elem())
	case reflect.Slice:
		bytes = rounded(v.Cap() * int(v.Type().Elem().Size()))
		for i := range v.Len() {
			bytes += held(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			bytes += held(v.Field(i))
		}
	case reflect.Map:
		bytes = mapBytes(v.Len(), int(v.Type().Key().Size()+v.Type().Elem().Size()))
		for entries := v.MapRange(); entries.Next(); {
			bytes += held(entries.Key()) + held(entries.Value())
		}
	}
	return bytes
}

// mapBytes is what a map of so many entries takes: groups of eight, seven eighths full at most and doubled as they fill.
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

// rounded is the size of an allocation.
func rounded(bytes int) int64 { return int64(bytes+15) &^ 15 }
