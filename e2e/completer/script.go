package completer

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Command makes the command of a container from a script: steps separated by semicolons or newlines, done in their order.
//
//	sleep SECONDS    take so long
//	await GATE       wait until the gate is open
//	hold GATE        wait while the gate is open
//	exit CODE        end the container
//	fail-if GATE     exit 1 if the gate is open
//	once WORD STEP   do the step the first time that a Pod of the namespace comes to this word, else nothing
//	pend REASON      never start the container: it waits for this reason (the only step)
//	say TEXT         nothing: for those who watch the Pods
//	:                nothing
//
// A container that has done all steps exits 0. It does not heed SIGTERM: a deleted Pod ends with its grace period, exit
// code 137.
func Command(script string) []string { return []string{word, script} }

// word is the program of a command that is for the completer.
const word = "play"

// Script is the script in a Pod's command; false: the command is not for the completer.
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
	arg  string // of sleep, await, hold, exit, fail-if, pend; the word of once
	then *step  // of once
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

// Check reports what is wrong with a script.
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

// seconds is the argument of sleep.
func (s step) seconds() time.Duration {
	n, _ := strconv.ParseFloat(s.arg, 64)
	return time.Duration(n * float64(time.Second))
}

// code is the argument of exit.
func (s step) code() int32 {
	n, _ := strconv.ParseInt(s.arg, 10, 32)
	return int32(n)
}
