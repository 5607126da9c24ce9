package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestImports(t *testing.T) {
	type try struct {
		dir, imported string
		test          bool
		want          string // beginning of the fault; empty means allowed
	}
	tests := map[string]try{
		"every package may import the standard library": {"controller/engine", "encoding/json", false, ""},
		"store may not import Kubernetes": {
			"store", "k8s.io/api/core/v1", false, "store may not import k8s.io/api/core/v1: see the table",
		},
		"store may import its driver": {"store", "github.com/lib/pq", false, ""},
		"store may not import its test database": {
			"store", "kontroler/store/storetest", false, "store may not import kontroler/store/storetest",
		},
		"tests of store may import the test database": {"store", "kontroler/store/storetest", true, ""},
		"engine may import the wire types": {
			"controller/engine", "kontroler/apis/kontroler/v1alpha1", false, "",
		},
		"engine may not import the store": {
			"controller/engine", "kontroler/store", false, "controller/engine may not import kontroler/store",
		},
		"engine may not import the controller": {
			"controller/engine", "kontroler/controller", false, "controller/engine may not import kontroler/controller",
		},
		"tests of engine may not import the store": {
			"controller/engine", "kontroler/store", true, "controller/engine may not import kontroler/store",
		},
		"controller may import engine": {
			"controller", "kontroler/controller/engine", false, "",
		},
		"a package without an entry belongs to the place above it": {
			"controller/new", "kontroler/controller", false, "",
		},
		"controller may not import httpapi": {
			"controller", "kontroler/httpapi", false, "controller may not import kontroler/httpapi",
		},
		"httpapi may not import controller": {
			"httpapi", "kontroler/controller", false, "httpapi may not import kontroler/controller",
		},
		"httpapi may not import engine": {
			"httpapi", "kontroler/controller/engine", false, "httpapi may not import kontroler/controller/engine",
		},
		"wire types may not import client-go": {
			"apis/kontroler/v1alpha1", "k8s.io/client-go/rest", false,
			"apis/kontroler/v1alpha1 may not import k8s.io/client-go/rest",
		},
		"the compiler may import validation": {
			"apis/dag", "k8s.io/apimachinery/pkg/util/validation/field", false, "",
		},
		"the compiler may not import the rest of apimachinery": {
			"apis/dag", "k8s.io/apimachinery/pkg/util/wait", false, "apis/dag may not import",
		},
		"tests may import go-cmp": {"apis/dag", "github.com/google/go-cmp/cmp", true, ""},
		"only tests may import go-cmp": {
			"apis/dag", "github.com/google/go-cmp/cmp", false, "apis/dag may not import github.com/google/go-cmp/cmp",
		},
		"an entry does not allow names that only begin with it": {
			"controller", "k8s.io/apiserver", false, "controller may not import k8s.io/apiserver",
		},
		"a package without a place is a fault": {"pkg/util", "k8s.io/api/core/v1", false, "pkg/util has no place"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := importFault(tt.dir, tt.imported, tt.test)
			if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("importFault(%q, %q, %v) = %q, want %q…", tt.dir, tt.imported, tt.test, got, tt.want)
			}
		})
	}
}

func TestTop(t *testing.T) {
	got := topFaults([]string{".github", "apis", "go.mod", "Makefile", "pkg", "Dockerfile"})
	if len(got) != 2 || !strings.HasPrefix(got[0], "pkg:") || !strings.HasPrefix(got[1], "Dockerfile:") {
		t.Errorf("topFaults = %q, want faults for pkg and Dockerfile", got)
	}
}

func TestRequirements(t *testing.T) {
	got := requirementFaults([]string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"})
	if len(got) != 1 || !strings.HasPrefix(got[0], "go.mod: sigs.k8s.io/controller-runtime is not") {
		t.Errorf("requirementFaults = %q, want a fault for controller-runtime", got)
	}
}

func TestSource(t *testing.T) {
	long := "// Long is long.\nfunc Long() {\n" + strings.Repeat("\tprintln()\n", maxLines-1) + "}\n"
	fits := "// Fits is just short enough.\nfunc Fits() {\n" + strings.Repeat("\tprintln()\n", maxLines-2) + "}\n"
	tests := map[string]struct {
		file string
		want []string
	}{
		"documented code has no faults": {
			"// Package x is good.\npackage x\n\n// A and B.\nconst (\n\tA = 1\n\tB = 2\n)\n\n" +
				"type inner int\n\nfunc (inner) M() {}\n\n" +
				"// E is an error.\ntype E int\n\nfunc (E) Error() string { return \"\" }\n\n" + fits,
			nil,
		},
		"a long function is a fault": {
			"// Package x is long.\npackage x\n\n" + long, []string{"store/x.go:5: Long has 81 lines, at most 80"},
		},
		"exported names without a comment are faults": {
			"package x\n\nfunc F() {}\n\ntype T struct{}\n\nfunc (*T) M() {}\n\nvar V int\n",
			[]string{
				"store/x.go:3: F is exported and has no comment", "store/x.go:5: T is exported and has no comment",
				"store/x.go:7: M is exported and has no comment", "store/x.go:9: V is exported and has no comment",
				"store: the package has no comment. State its purpose in doc.go",
			},
		},
		"a wide line is a fault, unless it is a raw string or a marker": {
			"// Package x is wide.\npackage x\n\n// " + strings.Repeat("w", 118) + "\n\n// +" +
				strings.Repeat("w", 118) + "\n\nfunc f() {\n\tprintln(`" + strings.Repeat("w", 118) +
				"`)\n\tprintln() // " + strings.Repeat("w", 104) + "\n}\n",
			[]string{"store/x.go:4: 121 columns, at most 120", "store/x.go:10: 121 columns, at most 120"},
		},
		"generated files are not checked": {
			"// Code generated by hand. DO NOT EDIT.\n\npackage x\n\nfunc F() {}\n", nil,
		},
		"an import that the table does not allow is a fault": {
			"// Package x imports.\npackage x\n\nimport _ \"k8s.io/api/core/v1\"\n",
			[]string{"store/x.go:4: store may not import k8s.io/api/core/v1: " + see},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pkg := goPackage{Dir: t.TempDir(), GoFiles: []string{"x.go"}, place: "store"}
			pkg.Module.Path = module
			if err := os.WriteFile(filepath.Join(pkg.Dir, "x.go"), []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := pkg.faults()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}
