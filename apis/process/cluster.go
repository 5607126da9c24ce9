package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Namespaces sets a list of namespaces, separated by commas, each once.
func Namespaces[C any](field func(*C) *[]string) func(*C, string) error {
	return func(c *C, value string) error {
		if strings.TrimSpace(value) == "" {
			return nil
		}
		var invalid []string
		names := field(c)
		for namespace := range strings.SplitSeq(value, ",") {
			namespace = strings.TrimSpace(namespace)
			switch {
			case len(validation.IsDNS1123Label(namespace)) > 0:
				invalid = append(invalid, strconv.Quote(namespace))
			case !slices.Contains(*names, namespace):
				*names = append(*names, namespace)
			}
		}
		if len(invalid) > 0 {
			return fmt.Errorf("not a name of a namespace: %s", strings.Join(invalid, ", "))
		}
		return nil
	}
}

// Class sets a class of controllers.
func Class[C any](field func(*C) *string) func(*C, string) error {
	return func(c *C, value string) error {
		if n := len([]rune(value)); n > 63 {
			return fmt.Errorf("a class has at most 63 characters, not %d", n)
		}
		*field(c) = value
		return nil
	}
}

// RESTConfig returns the client configuration of the cluster. kubeconfig is a list of files like KUBECONFIG. If it is
// empty, the service account of this Pod is used. Errors name the flag --kubeconfig.
func RESTConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		cfg, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("no cluster. Set --kubeconfig (or KUBECONFIG), or run in a Pod")
		}
		if err != nil {
			return nil, fmt.Errorf("reading the service account of this Pod: %w", err)
		}
		return cfg, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	if files := filepath.SplitList(kubeconfig); len(files) > 1 {
		rules = &clientcmd.ClientConfigLoadingRules{Precedence: files}
	}
	loaded, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w. Check --kubeconfig (or KUBECONFIG)", err)
	}
	cfg, err := clientcmd.NewDefaultClientConfig(*loaded, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s selects no cluster: %w. Check --kubeconfig (or KUBECONFIG)",
			kubeconfig, err)
	}
	return cfg, nil
}
