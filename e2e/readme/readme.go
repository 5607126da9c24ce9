package readme

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// Example is the YAML of a section, by the name of the file that it belongs to.
type Example map[string][]string

// kustomization is the name of the files that Lay joins.
const kustomization = "kustomization.yaml"

var (
	heading  = regexp.MustCompile(`^#+ (.*)$`)
	fileName = regexp.MustCompile(`^# ([a-z0-9/-]+\.yaml)$`)
)

// line is a line of a README.
type line struct {
	text, section string
	number        int  // counted from 1
	isCode        bool // in a fenced block, its first line included
}

// read returns the lines of a README.
func read(path string) ([]line, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []line
	section, isCode := "", false
	for i, text := range strings.Split(string(text), "\n") {
		isFence := strings.HasPrefix(text, "```")
		if match := heading.FindStringSubmatch(text); match != nil && !isCode {
			section = match[1]
		}
		if isFence {
			isCode = !isCode
		}
		lines = append(lines, line{text: text, section: section, number: i + 1, isCode: isCode})
	}
	return lines, nil
}

// Commands returns the commands of a section, as a shell script.
func Commands(path, section string) (string, error) {
	lines, err := read(path)
	if err != nil {
		return "", err
	}
	var script strings.Builder
	for _, l := range lines {
		command, isIndented := strings.CutPrefix(l.text, "    ")
		if l.section == section && isIndented && !l.isCode {
			fmt.Fprintln(&script, command)
		} else if script.Len() > 0 {
			break
		}
	}
	if script.Len() == 0 {
		return "", fmt.Errorf("%s has no commands in section %q", path, section)
	}
	return script.String(), nil
}

// Rows returns the rows of the table of a section, without its head. A cell has no vertical bar.
func Rows(path, section string) ([][]string, error) {
	lines, err := read(path)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, l := range lines {
		if l.section == section && strings.HasPrefix(l.text, "|") {
			cells := strings.Split(strings.Trim(l.text, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		} else if len(rows) > 0 {
			break
		}
	}
	if len(rows) < 3 {
		return nil, fmt.Errorf("%s has no table in section %q", path, section)
	}
	return rows[2:], nil
}

// Examples returns the examples of a README by section.
func Examples(path string) (map[string]Example, error) {
	lines, err := read(path)
	if err != nil {
		return nil, err
	}
	examples := map[string]Example{}
	for i := 0; i < len(lines); i++ {
		if lines[i].text != "```yaml" || !lines[i].isCode {
			continue
		}
		var block []string
		first := lines[i]
		for i++; i < len(lines) && lines[i].isCode; i++ {
			block = append(block, lines[i].text)
		}
		name := fileName.FindStringSubmatch(block[0])
		if name == nil {
			return nil, fmt.Errorf("%s:%d: the first line of the block does not name its file", path, first.number+1)
		}
		if examples[first.section] == nil {
			examples[first.section] = Example{}
		}
		of := examples[first.section]
		of[name[1]] = append(of[name[1]], strings.Join(block, "\n")+"\n")
	}
	return examples, nil
}

// Lay writes examples into a user's directory. Their kustomizations become one, whose lists are joined.
func Lay(dir string, examples ...Example) error {
	joined := map[string]any{}
	for _, example := range examples {
		for name, blocks := range example {
			for _, block := range blocks {
				if name != kustomization {
					if err := write(filepath.Join(dir, name), block); err != nil {
						return err
					}
					continue
				}
				if err := join(joined, block); err != nil {
					return err
				}
			}
		}
	}
	text, err := yaml.Marshal(joined)
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, kustomization), string(text))
}

// join adds the fields of a YAML document, and the items of its lists.
func join(joined map[string]any, block string) error {
	var part map[string]any
	if err := yaml.UnmarshalStrict([]byte(block), &part); err != nil {
		return fmt.Errorf("reading an example: %w", err)
	}
	for key, value := range part {
		if list, ok := value.([]any); ok {
			before, _ := joined[key].([]any)
			value = append(before, list...)
		}
		joined[key] = value
	}
	return nil
}

func write(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
