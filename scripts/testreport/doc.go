// Command testreport runs tests and reports each result as it comes:
//
//	testreport go test FLAG... PACKAGE...
//
// It adds -json to the command, and prints a line for each test that has ended: how many have ended and how many there
// are, the result, and which tests are running. Flags of the command that take a value must have the form -flag=value.
//
//	[37/99] ok    12.3 s   4 Pods  TestX; running: TestY, TestZ
//
// A test is a test function, or a subtest that had Pods. The output of a test follows its line, unless the test passed.
// At the end it prints a table of all tests, slowest first. It needs no terminal.
//
// The time of a test does not include the time that it waited to run in parallel. Its number of Pods is what it logged
// as "Pods: N".
package main
