// Package images tests scripts/images: that the images of a commit are always the same bytes, and what they contain. It
// reads the OCI archives without the tools that wrote them. It needs buildah, and neither root nor a cluster.
package images
