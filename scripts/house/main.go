package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// modules are the folders of the Go modules of the repository. The table applies to the root module.
var modules = []string{".", "scripts", "e2e/cluster"}

func main() {
	root := flag.String("root", ".", "top of the repository")
	sizes := flag.Bool("sizes", false, "print the sizes of the packages instead")
	flag.Parse()
	if *sizes {
		if err := printSizes(*root); err != nil {
			fmt.Fprintln(os.Stderr, "house:", err)
			os.Exit(2)
		}
		return
	}
	faults, err := check(*root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(2)
	}
	for _, fault := range faults {
		fmt.Println(fault)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// check returns all faults of a repository, sorted.
func check(root string) ([]string, error) {
	entries, err := topEntries(root)
	if err != nil {
		return nil, err
	}
	required, err := directRequirements(root)
	if err != nil {
		return nil, err
	}
	faults := append(topFaults(entries), requirementFaults(required)...)
	for _, dir := range modules {
		packages, err := list(root, dir)
		if err != nil {
			return nil, err
		}
		for _, pkg := range packages {
			found, err := pkg.faults()
			if err != nil {
				return nil, err
			}
			faults = append(faults, found...)
			s, err := pkg.measure()
			if err != nil {
				return nil, err
			}
			faults = append(faults, pkg.sizeFaults(s)...)
		}
	}
	slices.Sort(faults)
	return faults, nil
}

// printSizes prints the sizes of the root module's packages.
func printSizes(root string) error {
	packages, err := list(root, ".")
	if err != nil {
		return err
	}
	return report(os.Stdout, packages)
}

// topEntries returns the entries at the top of the repository that git tracks or would track.
func topEntries(root string) ([]string, error) {
	out, err := output(root, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil, err
	}
	var entries []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		first, _, _ := strings.Cut(name, "/")
		if !slices.Contains(entries, first) {
			entries = append(entries, first)
		}
	}
	return entries, nil
}

// directRequirements returns the modules that go.mod requires directly.
func directRequirements(root string) ([]string, error) {
	out, err := output(root, "go", "mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	var file struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &file); err != nil {
		return nil, err
	}
	var required []string
	for _, requirement := range file.Require {
		if !requirement.Indirect {
			required = append(required, requirement.Path)
		}
	}
	return required, nil
}

// list returns the packages of the module in a folder below root.
func list(root, dir string) ([]goPackage, error) {
	if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	out, err := output(filepath.Join(root, dir), "go", "list", "-e",
		"-json=Dir,ImportPath,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,Module", "./...")
	if err != nil {
		return nil, err
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg goPackage
		if err := decoder.Decode(&pkg); err == io.EOF {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		pkg.place = filepath.ToSlash(filepath.Join(dir, strings.TrimPrefix(pkg.ImportPath, pkg.Module.Path)))
		packages = append(packages, pkg)
	}
}

// output runs a command in a folder and returns what it prints.
func output(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, failed.Stderr)
	}
	return out, err
}
