// Package readme reads what tests execute or apply from the project's README files, so that these stay true. Only tests
// import it.
//
//   - Commands of a section are its first block that is indented by four spaces.
//   - Examples of a section are its blocks of YAML. The first line of each names its file: # kustomization.yaml
//   - Rows of a section are those of its first table.
package readme
