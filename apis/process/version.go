package process

import "runtime/debug"

// Version identifies the source of a binary. scripts/build makes the linker set both fields. They are empty in a binary
// that was built by other means.
type Version struct{ Stamped, Commit string }

// String returns the version: a tag, or a pseudo-version that contains the time and the commit.
func (v Version) String() string {
	if v.Stamped != "" {
		return v.Stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// Line returns what --version prints: the program, its version, and the commit if it is known.
func (v Version) Line(program string) string {
	line := program + " " + v.String()
	if v.Commit != "" {
		line += ", commit " + v.Commit
	}
	return line
}
