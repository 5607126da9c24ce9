package cluster

import (
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kontroler/generated/clientset/versioned"
)

// Clients send requests to the API server.
type Clients struct {
	Core      kubernetes.Interface
	Kontroler versioned.Interface
}

// New makes clients with this user agent. It sends no request.
func New(base *rest.Config, userAgent string) (c Clients, err error) {
	config := rest.CopyConfig(base)
	config.UserAgent, config.QPS = userAgent, -1
	if c.Core, err = kubernetes.NewForConfig(config); err != nil {
		return Clients{}, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	if c.Kontroler, err = versioned.NewForConfig(config); err != nil {
		return Clients{}, fmt.Errorf("making a client for DAGs: %w", err)
	}
	return c, nil
}
