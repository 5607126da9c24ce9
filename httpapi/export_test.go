package httpapi

// OpenAPI is the document that is served.
var OpenAPI = openAPI

// Patterns returns the patterns of all routes, and whether each needs a credential.
func (s *Server) Patterns() map[string]bool {
	needs := map[string]bool{}
	for _, r := range s.routes() {
		needs[r.pattern] = r.access > anybody
	}
	return needs
}

// Problems returns the slugs of all problems.
func Problems() []string {
	var slugs []string
	for _, k := range []kind{
		badRequest, notAuthenticated, forbidden, crossOrigin, notFound, methodNotAllowed, conflict, preconditionFailed,
		tooLarge, unsupportedMediaType, invalid, preconditionRequired, tooManyRequests, internal, unavailable,
	} {
		slugs = append(slugs, problemPrefix+k.slug)
	}
	return slugs
}
