package main

import (
	"html/template"
	"regexp"
	"strings"

	"kontroler/scripts/openapi"
)

// page is what the template shows.
type page struct {
	Title, Version string
	Intro          template.HTML
	Style          template.CSS
	Groups         []group
	Types          []typeView
}

// group is the routes of a tag.
type group struct {
	Name        string
	Description template.HTML
	Routes      []route
}

// route is an operation.
type route struct {
	ID, Method  string
	Path        template.HTML
	Summary     string
	Description template.HTML
	Role        string
	// Parameters are those in the path, the query and the header.
	Parameters []list
	Bodies     []body
	Answers    []answer
	Errors     []answer
	Curl       string
}

// list is a list of fields under a title.
type list struct {
	Title  string
	Fields []field
}

// field is a field of an object, a parameter or a header.
type field struct {
	Name, Type  template.HTML
	IsRequired  bool
	Description template.HTML
}

// body is a body of a type of content.
type body struct {
	ContentType string
	Type        template.HTML
	IsRequired  bool
	Description template.HTML
	Fields      []field
}

// answer is an answer with a status.
type answer struct {
	Status      string
	Description template.HTML
	Bodies      []body
	Headers     []field
}

// typeView is an object that the document names.
type typeView struct {
	Name        string
	Description template.HTML
	Fields      []field
}

// callers says who has a role.
var callers = map[string]string{
	"anybody":       "anybody, without a credential",
	"user":          "every user, with a session or an API token",
	"session":       "every user, with a session",
	"viewer":        "viewers",
	"operator":      "operators",
	"editor":        "editors",
	"administrator": "administrators",
}

func newPage(d *openapi.Document) (page, error) {
	info := d.Root.Get("info")
	p := page{
		Title: info.Get("title").Text(), Version: info.Get("version").Text(),
		Intro: prose(info.Get("description").Text()), Style: template.CSS(style),
	}
	for _, tag := range d.Tags {
		g := group{Name: tag.Name, Description: prose(tag.Description)}
		for _, o := range d.Operations {
			if o.Tag != tag.Name {
				continue
			}
			r, err := newRoute(o)
			if err != nil {
				return page{}, err
			}
			g.Routes = append(g.Routes, r)
		}
		if len(g.Routes) > 0 {
			p.Groups = append(p.Groups, g)
		}
	}
	for name, schema := range d.Root.Get("components").Get("schemas").Fields() {
		if fields := fieldsOf(schema); len(fields) > 0 {
			p.Types = append(p.Types, typeView{name, prose(schema.Get("description").Text()), fields})
		}
	}
	return p, nil
}

func newRoute(o *openapi.Operation) (route, error) {
	r := route{
		ID: o.ID, Method: o.Method, Path: pathHTML(o.Path), Summary: o.Summary, Description: prose(o.Description),
		Role: callers[o.Role],
	}
	for _, in := range []struct{ name, title string }{{"path", "Path"}, {"query", "Query"}, {"header", "Headers"}} {
		l := list{Title: in.title}
		for _, p := range o.Parameters {
			if p.In == in.name {
				l.Fields = append(l.Fields, field{
					code(p.Name), typeOf(p.Schema), p.Required && p.In != "path", describe(p.Description, p.Schema),
				})
			}
		}
		if len(l.Fields) > 0 {
			r.Parameters = append(r.Parameters, l)
		}
	}
	r.Bodies = bodiesOf(o.Body.Content)
	for i := range r.Bodies {
		r.Bodies[i].IsRequired, r.Bodies[i].Description = o.Body.Required, prose(o.Body.Description)
	}
	for _, a := range o.Answers {
		shown := answer{Status: a.Status, Description: inline(a.Description)}
		for _, h := range a.Headers {
			shown.Headers = append(shown.Headers,
				field{code(h.Name), "header", false, describe(h.Description, h.Schema)})
		}
		if a.Status >= "400" {
			r.Errors = append(r.Errors, shown)
			continue
		}
		shown.Bodies = bodiesOf(a.Content)
		r.Answers = append(r.Answers, shown)
	}
	var err error
	r.Curl, err = curl(o)
	return r, err
}

// bodiesOf returns bodies by their types of content. The fields of a named type are shown with the type.
func bodiesOf(content []openapi.Media) (all []body) {
	for _, m := range content {
		b := body{ContentType: m.Type, Type: typeOf(m.Schema)}
		if nameOf(m.Schema) == "" {
			b.Fields = fieldsOf(m.Schema)
		}
		all = append(all, b)
	}
	return all
}

var (
	placeholder = regexp.MustCompile(`\{\w+\}`)
	codeSpan    = regexp.MustCompile("`([^`]+)`")
)

// pathHTML marks the parameters of a path, and allows a line to end before a slash.
func pathHTML(path string) template.HTML {
	text := template.HTMLEscapeString(path)
	text = placeholder.ReplaceAllString(text, "<var>$0</var>")
	return template.HTML(strings.TrimPrefix(strings.ReplaceAll(strings.ReplaceAll(text, "/", "<wbr>/"),
		"<<wbr>/", "</"), "<wbr>"))
}

func code(text string) template.HTML {
	return template.HTML("<code>" + template.HTMLEscapeString(text) + "</code>")
}

// inline marks what is between backticks as code.
func inline(text string) template.HTML {
	return template.HTML(codeSpan.ReplaceAllString(
		template.HTMLEscapeString(strings.TrimSpace(text)), "<code>$1</code>",
	))
}

// prose makes paragraphs. An empty line separates them.
func prose(text string) template.HTML {
	var html strings.Builder
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if strings.TrimSpace(paragraph) != "" {
			html.WriteString("<p>" + string(inline(paragraph)) + "</p>")
		}
	}
	return template.HTML(html.String())
}
