package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"kontroler/scripts/openapi"
)

// maxInline is the length up to which the JSON of an example stays on one line.
const maxInline = 60

// curl returns an example of a request. It uses the variables SERVER and TOKEN.
func curl(o *openapi.Operation) (string, error) {
	path, query := o.Path, ""
	words := []string{"curl"}
	if o.Method != "GET" {
		words = append(words, "-X "+o.Method)
	}
	var lines []string
	if o.Role != "anybody" {
		lines = append(lines, `-H "Authorization: Bearer $TOKEN"`)
	}
	for _, p := range o.Parameters {
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", p.Example.Text())
		case p.In == "query" && p.Required:
			query += "&" + p.Name + "=" + p.Example.Text()
		case p.In == "header" && p.Required:
			lines = append(lines, "-H "+quote(p.Name+": "+p.Example.Text()))
		}
	}
	if query != "" {
		query = "?" + query[1:]
	}
	if len(o.Body.Content) > 0 {
		media := o.Body.Content[0]
		text, err := exampleOf(media)
		if err != nil {
			return "", fmt.Errorf("%s: example: %w", o, err)
		}
		lines = append(lines, "-H "+quote("Content-Type: "+media.Type), "--data "+quote(text))
	}
	words = append(words, `"$SERVER`+path+query+`"`)
	return strings.Join(append([]string{strings.Join(words, " ")}, lines...), " \\\n  "), nil
}

// exampleOf returns the example of a body: text as it is, everything else as JSON.
func exampleOf(media openapi.Media) (string, error) {
	if text := media.Example.Text(); text != "" {
		return text, nil
	}
	raw, err := media.Example.JSON()
	if err != nil {
		return "", err
	}
	if len(raw) <= maxInline {
		return string(raw), nil
	}
	var pretty bytes.Buffer
	err = json.Indent(&pretty, raw, "", "  ")
	return pretty.String(), err
}

// quote quotes a word for a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
