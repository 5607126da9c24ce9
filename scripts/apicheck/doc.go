// Command apicheck compares what the tests of the server sent and received with openapi.yaml.
//
//	go run ./apicheck -document ../httpapi/openapi.yaml -traffic DIRECTORY
//
// The tests write the traffic if the variable TEST_TRAFFIC names a directory. Every exchange must have a documented
// route, status, header and type of content. A JSON body must be valid by the schema, in which every object is closed:
// a field that is not documented is a fault. If the answer is 2xx, the query, the headers and the body of the request
// must be documented, too. Of other contents, such as streams, only status, headers and type are checked.
//
// Conversely, the tests must see all that is documented: every status, query parameter and header. With -partial
// REASON, for tests that did not all run, this is not checked.
//
// The program prints a line for each fault, and exits with 1 if there is one.
package main
