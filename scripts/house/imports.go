package main

import (
	"fmt"
	"slices"
	"strings"
)

const see = "see the table in scripts/house/table.go"

// topFaults returns a fault for each entry that may not be at the top of the repository.
func topFaults(entries []string) []string {
	var faults []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry, ".") && !slices.Contains(top, entry) {
			faults = append(faults, fmt.Sprintf("%s: may not be at the top of the repository: %s", entry, see))
		}
	}
	return faults
}

// requirementFaults returns a fault for each module that the root go.mod may not require directly.
func requirementFaults(required []string) []string {
	var faults []string
	for _, path := range required {
		if !slices.Contains(requirements, path) {
			faults = append(faults, fmt.Sprintf("go.mod: %s is not one of the allowed dependencies: %s", path, see))
		}
	}
	return faults
}

// importFault returns the fault of an import in the package of folder dir. Empty means that it is allowed.
func importFault(dir, imported string, test bool) string {
	if first, _, _ := strings.Cut(imported, "/"); first != module && !strings.Contains(first, ".") {
		return "" // the standard library
	}
	place := placeOf(dir)
	if place == nil {
		return fmt.Sprintf("%s has no place: %s", dir, see)
	}
	if local, ok := strings.CutPrefix(imported, module+"/"); ok && placeOf(local) == place {
		return ""
	}
	allowed := place.may
	if test {
		allowed = slices.Concat(allowed, place.tests, everyTest)
	}
	for _, entry := range allowed {
		exact, only := strings.CutSuffix(entry, "!")
		if imported == exact || !only && strings.HasPrefix(imported, entry+"/") {
			return ""
		}
	}
	return fmt.Sprintf("%s may not import %s: %s", place.path, imported, see)
}

// placeOf returns the place of a folder: that with the longest path that is the folder or contains it.
func placeOf(dir string) *place {
	var best *place
	for i := range house {
		at := &house[i]
		if (dir == at.path || strings.HasPrefix(dir, at.path+"/")) && (best == nil || len(at.path) > len(best.path)) {
			best = at
		}
	}
	return best
}
