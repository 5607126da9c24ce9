package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"kontroler/scripts/openapi"
)

// exchange is a request and its answer, as httpapi's tests write them.
type exchange struct {
	Test, Method, Path, Query string
	Header                    http.Header
	Body                      []byte
	Status                    int
	Answered                  http.Header
	AnswerBody                []byte
}

func main() {
	file := flag.String("document", "", "the OpenAPI document")
	traffic := flag.String("traffic", "", "the directory with the recorded traffic")
	partial := flag.String("partial", "", "why not all tests ran; what they did not see is then no fault")
	flag.Parse()
	faults, err := run(*file, *traffic, *partial != "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "apicheck:", err)
		os.Exit(2)
	}
	for _, fault := range faults {
		fmt.Println(fault)
	}
	if len(faults) > 0 {
		fmt.Fprintf(os.Stderr, "apicheck: the document and the tests of the server differ in %d points\n", len(faults))
		os.Exit(1)
	}
	if *partial != "" {
		fmt.Fprintln(os.Stderr, "apicheck: not checked whether the tests saw all that is documented:", *partial)
	}
}

func run(file, traffic string, isPartial bool) ([]string, error) {
	document, err := openapi.Load(file)
	if err != nil {
		return nil, err
	}
	c, err := newChecker(document)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(traffic, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if err := readTraffic(name, c.exchange); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if c.exchanges == 0 && !isPartial {
		return nil, fmt.Errorf("no traffic in %q", traffic)
	}
	c.examples()
	if !isPartial {
		c.completeness()
	}
	return c.report(), nil
}

// readTraffic passes on every exchange of a file.
func readTraffic(name string, each func(exchange)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	decoder := json.NewDecoder(bufio.NewReader(file))
	for {
		var e exchange
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		each(e)
	}
}
