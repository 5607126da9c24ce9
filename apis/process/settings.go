package process

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Setting is a flag and its environment variable. C is the type of the configuration.
type Setting[C any] struct {
	Flag        string
	Placeholder string // of the value, in the usage; empty means that the flag is boolean
	Env         string
	Default     string
	Help        string
	// Mark is a character that stands before the flag in the usage. A main uses it to say which of its commands have
	// the flag. Empty means a blank.
	Mark string
	Set  func(*C, string) error
}

// FaultLines formats the faults that ParseArgs and Apply return, one a line, and adds a line that names --help. Each
// line begins with the name of the program.
func FaultLines(program string, faults error) string {
	lines := faults.Error() + "\nrun " + program + " --help for all flags"
	return program + ": " + strings.ReplaceAll(lines, "\n", "\n"+program+": ")
}

// Usage describes settings, in their order.
func Usage[C any](settings []Setting[C]) string {
	var b strings.Builder
	for _, s := range settings {
		name, mark, help := "--"+s.Flag, s.Mark, s.Help
		if s.Placeholder != "" {
			name += " " + s.Placeholder
		}
		if mark == "" {
			mark = " "
		}
		if s.Default != "" {
			help += " (default " + s.Default + ")"
		}
		fmt.Fprintf(&b, "%s %-34s %s\n", mark, name, s.Env)
		fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(help, "\n", "\n      "))
	}
	return b.String()
}

// Args are the arguments of a process, by kind.
type Args struct {
	// Values are the texts of the settings that were given.
	Values map[string]string
	// Operands are the arguments that are not flags.
	Operands []string
	// Help says that -h or --help was given.
	Help bool
}

// badSyntax is the beginning of the error of package flag for an argument like ---x. Unlike an unknown flag, such an
// argument stays in the list.
const badSyntax = "bad flag syntax: "

// Unexpected is the fault of an operand that is not expected. It does not quote what may be a database URL.
func Unexpected(operand string) error {
	if strings.Contains(operand, "://") || strings.Contains(operand, "password=") {
		return errors.New("unexpected argument. A database URL is the value of a flag or of its environment variable")
	}
	return fmt.Errorf("unexpected argument %q", operand)
}

// ParseArgs reads the arguments of a process. switches are further boolean flags, without an environment variable.
// Flags and operands may be mixed. An unknown flag is a fault. faults joins all faults.
func ParseArgs[C any](
	settings []Setting[C], switches map[string]*bool, args []string,
) (parsed Args, faults error) {
	parsed.Values = map[string]string{}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for name, value := range switches {
		set.BoolVar(value, name, false, "")
	}
	for _, s := range settings {
		set.Var(&rawFlag{values: parsed.Values, name: s.Flag, isBool: s.Placeholder == ""}, s.Flag, "")
	}
	for {
		err := set.Parse(args)
		args = set.Args()
		switch {
		case errors.Is(err, flag.ErrHelp):
			parsed.Help = true
			return parsed, faults
		case err != nil && strings.HasPrefix(err.Error(), badSyntax):
			name, _, _ := strings.Cut(args[0], "=") // the value may be a database URL
			faults = errors.Join(faults, errors.New(badSyntax+name))
			args = args[1:]
		case err != nil:
			faults = errors.Join(faults, err)
			if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				args = args[1:] // most likely the value of the unknown flag
			}
		case len(args) == 0:
			return parsed, faults
		default:
			parsed.Operands = append(parsed.Operands, args[0])
			args = args[1:]
		}
	}
}

// Apply sets a configuration from the values of flags, the environment, and the defaults. A flag takes precedence over
// its variable. An empty variable counts as unset, except where the empty text is a value. faults joins all faults.
func Apply[C any](
	c *C, settings []Setting[C], values map[string]string, env func(string) (string, bool),
) (faults error) {
	for _, s := range settings {
		source, value := "--"+s.Flag, s.Default
		if fromEnv, ok := env(s.Env); ok {
			if fromEnv != "" || strings.HasSuffix(s.Flag, "-address") {
				source, value = s.Env, fromEnv
			}
		}
		if fromFlag, ok := values[s.Flag]; ok {
			source, value = "--"+s.Flag, fromFlag
		}
		if err := s.Set(c, value); err != nil {
			faults = errors.Join(faults, fmt.Errorf("%s: %w", source, err))
		}
	}
	return faults
}

// rawFlag keeps the text of a flag. Apply parses it, so that it can report every fault.
type rawFlag struct {
	values map[string]string
	name   string
	isBool bool
}

func (f *rawFlag) String() string   { return "" }
func (f *rawFlag) IsBoolFlag() bool { return f.isBool }
func (f *rawFlag) Set(value string) error {
	f.values[f.name] = value
	return nil
}
