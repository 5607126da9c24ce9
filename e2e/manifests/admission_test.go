package manifests_test

import (
	"context"
	"flag"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

var kubeconfig = flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig of the API server")

// cluster is a real API server with the custom resources.
type cluster struct {
	config  *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

// crdsOnce makes the tests apply the custom resources once.
var crdsOnce sync.Once

// connect returns the cluster.
func connect(t *testing.T) cluster {
	t.Helper()
	if *kubeconfig == "" {
		missing(t, "no API server. Set KUBECONFIG; `e2e/cluster/run up DIR --no-node` starts one")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	crdsOnce.Do(func() {
		apply := exec.CommandContext(t.Context(), kubectl(t), "--kubeconfig", *kubeconfig, "apply", "--server-side",
			"--force-conflicts", "-k", manifests+"/crd")
		if out, err := apply.CombinedOutput(); err != nil {
			t.Fatalf("applying the custom resources: %v\n%s", err, out)
		}
	})
	c := cluster{
		config: config, kube: kubernetes.NewForConfigOrDie(config), dynamic: dynamic.NewForConfigOrDie(config),
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.kube.Discovery()))
	return c
}

// namespace makes a namespace that enforces Pod Security restricted, until the test ends.
func (c cluster) namespace(t *testing.T) string {
	t.Helper()
	made, err := c.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "manifests-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := c.kube.CoreV1().Namespaces().Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return made.Name
}

// Every object of an installation passes the API server's dry run, with strict validation of its fields.
func TestDryRun(t *testing.T) {
	c := connect(t)
	for name := range installations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.dryRun(t, install(t, name))
		})
	}
}

// dryRun applies objects in namespaces that are made for the test, as `kubectl apply --server-side --dry-run=server`
// does, and creates the Pods of their templates the same way. It returns the Pods by the namespace of the manifests.
func (c cluster) dryRun(t *testing.T, objects []*unstructured.Unstructured) map[string][]*corev1.Pod {
	t.Helper()
	made := map[string]string{}
	for _, object := range objects {
		if in := object.GetNamespace(); in != "" && made[in] == "" {
			made[in] = c.namespace(t)
		}
	}
	for _, object := range objects {
		object.SetNamespace(made[object.GetNamespace()])
		body, err := object.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		mapping, err := c.mapper.RESTMapping(object.GroupVersionKind().GroupKind(), object.GroupVersionKind().Version)
		if err != nil {
			t.Fatalf("%s: %v", describe(object), err)
		}
		client := dynamic.ResourceInterface(c.dynamic.Resource(mapping.Resource))
		if object.GetNamespace() != "" {
			client = c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace())
		}
		force := true
		if _, err := client.Patch(t.Context(), object.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
			FieldManager: "manifests", Force: &force, DryRun: []string{metav1.DryRunAll},
			FieldValidation: metav1.FieldValidationStrict,
		}); err != nil {
			t.Errorf("%s is refused: %v", describe(object), err)
		}
	}
	pods := map[string][]*corev1.Pod{}
	for in, named := range made {
		for _, pod := range podsIn(t, objects, named) {
			c.createAccount(t, named, pod.Spec.ServiceAccountName)
			if err := c.create(t, named, pod); err != nil {
				t.Errorf("a Pod of %s is refused: %v", pod.GenerateName, err)
			}
			pods[in] = append(pods[in], pod)
		}
	}
	return pods
}

// templates returns the Pod templates of the objects.
func templates(t *testing.T, objects []*unstructured.Unstructured) []corev1.PodTemplateSpec {
	t.Helper()
	var found []corev1.PodTemplateSpec
	for _, object := range objects {
		switch object.GetKind() {
		case "Deployment", "StatefulSet", "Job":
			var workload struct {
				Spec struct {
					Template corev1.PodTemplateSpec `json:"template"`
				} `json:"spec"`
			}
			convert(t, object, &workload)
			workload.Spec.Template.GenerateName = object.GetName() + "-"
			found = append(found, workload.Spec.Template)
		}
	}
	return found
}

// podsIn returns a Pod for each template of the objects in a namespace.
func podsIn(t *testing.T, objects []*unstructured.Unstructured, in string) []*corev1.Pod {
	t.Helper()
	objects = slices.Clone(objects)
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetNamespace() != in })
	var pods []*corev1.Pod
	for _, template := range templates(t, objects) {
		pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
		if pod.Spec.ServiceAccountName == "" {
			pod.Spec.ServiceAccountName = "default"
		}
		pods = append(pods, pod)
	}
	return pods
}

// createAccount creates a service account: without it a Pod is refused for that reason.
func (c cluster) createAccount(t *testing.T, in, name string) {
	t.Helper()
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.kube.CoreV1().ServiceAccounts(in).Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// create asks the API server whether it would take a Pod.
func (c cluster) create(t *testing.T, in string, pod *corev1.Pod) error {
	_, err := c.kube.CoreV1().Pods(in).Create(t.Context(), pod, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}

// A Pod of Kontroler without one of its security settings is refused where Pod Security restricted is enforced. So the
// other tests ask an API server that enforces it, and every setting is needed.
func TestRestricted(t *testing.T) {
	c := connect(t)
	in := c.namespace(t)
	tests := map[string]func(*corev1.PodSpec){
		"a Pod that may run as root":      func(s *corev1.PodSpec) { s.SecurityContext.RunAsNonRoot = nil },
		"a Pod without a seccomp profile": func(s *corev1.PodSpec) { s.SecurityContext.SeccompProfile = nil },
		"a container that may gain privileges": func(s *corev1.PodSpec) {
			s.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
		},
		"a container that keeps its capabilities": func(s *corev1.PodSpec) {
			s.Containers[0].SecurityContext.Capabilities = nil
		},
	}
	templates := templates(t, slices.Concat(install(t, "quickstart"), install(t, "uninstall")))
	if len(templates) != 5 {
		t.Fatalf("%d Pod templates, want those of controller, server, UI, PostgreSQL and uninstaller", len(templates))
	}
	for _, template := range templates {
		for _, name := range slices.Sorted(maps.Keys(tests)) {
			t.Run(template.GenerateName+" "+name, func(t *testing.T) {
				pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: *template.Spec.DeepCopy()}
				pod.Spec.ServiceAccountName = "default"
				c.createAccount(t, in, "default")
				tests[name](&pod.Spec)
				if err := c.create(t, in, pod); !apierrors.IsForbidden(err) ||
					!strings.Contains(err.Error(), "restricted") {
					t.Errorf("the API server answers %v, want that the Pod violates restricted", err)
				}
			})
		}
	}
}

// Nothing can be written to the file system of a container, whose image is therefore what runs.
func TestReadOnlyFileSystems(t *testing.T) {
	for name := range installations {
		for _, template := range templates(t, install(t, name)) {
			for _, container := range template.Spec.Containers {
				if readOnly := container.SecurityContext.ReadOnlyRootFilesystem; readOnly == nil || !*readOnly {
					t.Errorf("%s: container %s of %s can write to its file system",
						name, container.Name, template.GenerateName)
				}
			}
		}
	}
}
