package completer

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Command returns the command of a container with a script. Steps are separated by semicolons or newlines:
//
//	sleep SECONDS    wait
//	await GATE       wait until the gate is open
//	hold GATE        wait while the gate is open
//	exit CODE        end the container
//	fail-if GATE     exit 1 if the gate is open
//	once WORD STEP   do the step when the first Pod of the namespace reaches this word, later do nothing
//	pend REASON      do not start the container; it waits for this reason (must be the only step)
//	say TEXT         do nothing; watchers of the Pods read the text
//	:                do nothing
//
// After all steps the container exits with 0. It ignores SIGTERM: a deleted Pod ends after its grace period, with exit
// code 137.
func Command(script string) []string { return []string{word, script} }

// word is the program of the commands that the completer plays.
const word = "play"

// Script returns the script of a Pod. It returns false if the command is not for the completer.
func Script(pod *corev1.Pod) (string, bool) {
	if len(pod.Spec.Containers) == 0 {
		return "", false
	}
	command := pod.Spec.Containers[0].Command
	if len(command) != 2 || command[0] != word {
		return "", false
	}
	return command[1], true
}

// step is one step of a script.
type step struct {
	verb string
	arg  string // argument, or the word of once
	then *step  // the step of once
}

// waits reports whether a step may take time.
func (s step) waits() bool {
	switch s.verb {
	case "sleep", "await", "hold", "pend":
		return true
	case "once":
		return s.then.waits()
	}
	return false
}

// Check returns an error if a script is invalid.
func Check(script string) error {
	_, err := parse(script)
	return err
}

// parse reads a script.
func parse(script string) ([]step, error) {
	var steps []step
	for text := range strings.FieldsFuncSeq(script, func(r rune) bool { return r == ';' || r == '\n' }) {
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		s, err := parseStep(fields)
		if err != nil {
			return nil, fmt.Errorf("step %q: %w", strings.TrimSpace(text), err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func parseStep(fields []string) (step, error) {
	s := step{verb: fields[0]}
	if s.verb == ":" || s.verb == "say" {
		return s, nil
	}
	if len(fields) < 2 {
		return s, fmt.Errorf("%s needs an argument", s.verb)
	}
	s.arg = fields[1]
	switch s.verb {
	case "sleep":
		if _, err := strconv.ParseFloat(s.arg, 64); err != nil {
			return s, fmt.Errorf("not a number of seconds: %w", err)
		}
	case "exit":
		if _, err := strconv.ParseInt(s.arg, 10, 32); err != nil {
			return s, fmt.Errorf("not an exit code: %w", err)
		}
	case "await", "hold", "fail-if", "pend":
	case "once":
		if len(fields) < 3 {
			return s, fmt.Errorf("once needs a word and a step")
		}
		then, err := parseStep(fields[2:])
		s.then = &then
		return s, err
	default:
		return s, fmt.Errorf("unknown word %q", s.verb)
	}
	return s, nil
}

// seconds returns the argument of sleep.
func (s step) seconds() time.Duration {
	n, _ := strconv.ParseFloat(s.arg, 64)
	return time.Duration(n * float64(time.Second))
}

// code returns the argument of exit.
func (s step) code() int32 {
	n, _ := strconv.ParseInt(s.arg, 10, 32)
	return int32(n)
}
