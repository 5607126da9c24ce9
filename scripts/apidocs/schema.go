package main

import (
	"html/template"
	"slices"
	"strings"

	"kontroler/scripts/openapi"
)

// nameOf returns the name of a schema that the page shows as a type of its own: an object that the document names.
func nameOf(schema openapi.Value) string {
	name, isNamed := strings.CutPrefix(schema.Pointer(), "/components/schemas/")
	if !isNamed || strings.Contains(name, "/") || len(propertiesOf(schema)) == 0 {
		return ""
	}
	return name
}

// property is a property of an object.
type property struct {
	name       string
	schema     openapi.Value
	isRequired bool
}

// propertiesOf returns the properties of an object, with those of the schemas that it combines.
func propertiesOf(schema openapi.Value) (all []property) {
	for _, part := range schema.Get("allOf").Items() {
		all = append(all, propertiesOf(part)...)
	}
	var required []string
	for _, name := range schema.Get("required").Items() {
		required = append(required, name.Text())
	}
	for name, inner := range schema.Get("properties").Fields() {
		all = append(all, property{name, inner, slices.Contains(required, name)})
	}
	return all
}

// fieldsOf returns the fields of an object. Those of objects without a name follow the field that has them.
func fieldsOf(schema openapi.Value) []field { return fieldsBelow(schema, "") }

func fieldsBelow(schema openapi.Value, prefix string) (all []field) {
	for _, p := range propertiesOf(schema) {
		name := prefix + p.name
		all = append(all, field{code(name), typeOf(p.schema), p.isRequired, describe("", p.schema)})
		inner, suffix := p.schema, "."
		for inner.Get("items").Exists() {
			inner, suffix = inner.Get("items"), "[]"+suffix
		}
		if nameOf(inner) == "" {
			all = append(all, fieldsBelow(inner, name+suffix)...)
		}
	}
	return all
}

// typeOf returns the type of a schema in words.
func typeOf(schema openapi.Value) template.HTML {
	if !schema.Exists() {
		return ""
	}
	if name := template.HTMLEscapeString(nameOf(schema)); name != "" {
		return template.HTML(`<a href="#type-` + name + `">` + name + `</a>`)
	}
	if items := schema.Get("items"); items.Exists() {
		return "list of " + typeOf(items)
	}
	for _, combined := range []string{"oneOf", "anyOf"} {
		if parts := schema.Get(combined).Items(); len(parts) > 0 {
			var types []string
			for _, part := range parts {
				types = append(types, string(typeOf(part)))
			}
			return template.HTML(strings.Join(types, " or "))
		}
	}
	names := []string{schema.Get("type").Text()}
	if several := schema.Get("type").Items(); len(several) > 0 {
		names = nil
		for _, t := range several {
			names = append(names, t.Text())
		}
	}
	if len(propertiesOf(schema)) > 0 {
		names = []string{"object"}
	}
	text := strings.Join(names, " or ")
	if text == "" {
		text = "any value"
	}
	if format := schema.Get("format").Text(); format != "" {
		text = strings.Replace(text, "string", format, 1)
	}
	return template.HTML(template.HTMLEscapeString(text))
}

// describe returns a description with the values that a schema allows.
func describe(description string, schema openapi.Value) template.HTML {
	if description == "" {
		description = schema.Get("description").Text()
	}
	html := inline(description)
	add := func(before, after string, values ...openapi.Value) {
		var texts []string
		for _, v := range values {
			if v.Text() == "" {
				return
			}
			texts = append(texts, string(code(v.Text())))
		}
		if len(texts) > 0 {
			html += template.HTML(` <span class="limit">` +
				before + " " + strings.Join(texts, ", ") + after + "</span>")
		}
	}
	values := schema
	for values.Get("items").Exists() {
		values = values.Get("items")
	}
	if nameOf(values) == "" {
		add("one of", "", values.Get("enum").Items()...)
	}
	for _, limit := range []struct{ key, before, after string }{
		{"minimum", "at least", ""}, {"maximum", "at most", ""},
		{"minLength", "at least", " characters"}, {"maxLength", "at most", " characters"},
		{"maxItems", "at most", " items"}, {"pattern", "pattern", ""}, {"default", "default", ""},
	} {
		add(limit.before, limit.after, schema.Get(limit.key))
	}
	return html
}
