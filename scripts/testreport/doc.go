// Command testreport runs packages of tests beside one another and says how they get on:
//
//	testreport go test FLAG... PACKAGE...
//
// It runs the command with -json added and prints a line for each test that has ended, how many are left, and which run.
// Flags of the command that have a value have the form -flag=value.
//
//	[37/99] ok    12.3 s   4 Pods  TestX; running: TestY, TestZ
//
// A test is a test function, or a subtest that ran beside others. What a test that failed has printed follows its line; the
// output of a test that passed is dropped. A table of all tests ends it, the slowest first. Nothing needs a terminal.
//
// The seconds of a test are those that it ran, without the time that it waited for its turn. Its Pods are what it logged as
// "Pods: N".
package main
