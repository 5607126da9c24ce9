// Package scene plays what a person does who has never seen kubectl, in a browser and with everything real: a node, the
// controller, the server, and nginx of the UI's image. The person opens the address, signs in, triggers a DAG, sees why
// a task waits, reads the log of what failed, corrects the DAG and sees it succeed; by mouse, and by keyboard alone.
// The browser tests themselves are in web/browser/scene.test.ts. All other tests of the UI (e2e/web) have rows instead
// of Pods.
//
// KUBECONFIG names a cluster with a node, TEST_UI_ROOT the root file system of the UI's image and TEST_SERVER the
// server's binary: see e2e/site. It needs Node and a browser.
package scene
