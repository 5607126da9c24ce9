package dag

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

// The parts of a Pod that the controller adds.
const (
	reservedPrefix = v1alpha1.GroupName + "/"
	scriptVolume   = "kontroler-script"
	scriptMount    = "/kontroler"
	// ownAnnotationBytes is the size of the controller's annotations without the script: two names and their keys.
	ownAnnotationBytes = 4096

	// WorkspaceVolume is the name of the workspace's volume in a Pod. WorkspaceMount is where it is mounted.
	WorkspaceVolume = "kontroler-workspace"
	WorkspaceMount  = "/workspace"
	// WorkspaceAlias is the name by which volumeMounts can mount the workspace, or a directory of it, at another
	// path. A volume of that name in podTemplate.volumes takes precedence.
	WorkspaceAlias = "workspace"

	// oldScriptVolume is the volume of the script in the existing Kontroler.
	oldScriptVolume = "shared-scripts"
)

// checkPodTemplate reports fields that make every Pod of the task invalid, as far as that is known without a cluster,
// and fields that collide with those that the controller adds. The API server checks the rest.
func (c *compiler) checkPodTemplate(t *v1alpha1.TaskTemplate, path *field.Path) {
	p, f := t.PodTemplate, &c.faults
	checkLabels(f, path.Child("labels"), p.Labels)
	reserved(f, path.Child("labels"), p.Labels)
	checkAnnotations(f, path.Child("annotations"), p.Annotations, len(t.Script))
	workspace := workspaceOf(c.spec) != nil
	volumes := checkVolumes(f, path.Child("volumes"), p.Volumes, workspace)
	mounts := mountChecker{volumes: volumes, workspace: workspace, alias: workspace || c.isDagTask}
	mounts.check(f, path.Child("volumeMounts"), p.VolumeMounts)
	checkEnv(f, path.Child("env"), p.Env)
	checkEnvFrom(f, path.Child("envFrom"), p.EnvFrom)
	oneOf(
		f,
		path.Child("imagePullPolicy"),
		p.ImagePullPolicy,
		corev1.PullAlways,
		corev1.PullIfNotPresent,
		corev1.PullNever,
	)
	checkInitContainers(f, path.Child("initContainers"), p.InitContainers, mounts)
	checkLabels(f, path.Child("nodeSelector"), p.NodeSelector)
	checkTolerations(f, path.Child("tolerations"), p.Tolerations)
	for _, name := range []struct{ field, value string }{
		{"serviceAccountName", p.ServiceAccountName},
		{"priorityClassName", p.PriorityClassName},
	} {
		if name.value != "" {
			objectName(f, path.Child(name.field), name.value)
		}
	}
	if p.RuntimeClassName != nil {
		objectName(f, path.Child("runtimeClassName"), *p.RuntimeClassName)
	}
	inRange(f, path.Child("activeDeadlineSeconds"), p.ActiveDeadlineSeconds, 1, maxInt32)
	inRange(f, path.Child("terminationGracePeriodSeconds"), p.TerminationGracePeriodSeconds, 0, maxGraceSeconds)
	if p.Resources != nil {
		checkResources(f, path.Child("resources"), p.Resources)
	}
}

// sortedKeys returns the keys of a map in a stable order.
func sortedKeys[K ~string, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}

func checkLabels(f *faults, path *field.Path, labels map[string]string) {
	for _, key := range sortedKeys(labels) {
		at := path.Key(cut(key))
		wellFormed(f, at, key, validation.IsQualifiedName)
		wellFormed(f, at, labels[key], validation.IsValidLabelValue)
	}
}

func checkAnnotations(f *faults, path *field.Path, annotations map[string]string, scriptBytes int) {
	for _, key := range sortedKeys(annotations) {
		at := path.Key(cut(key))
		wellFormed(f, at, strings.ToLower(key), validation.IsQualifiedName) // as the API server does
		withoutNUL(f, at, annotations[key])
	}
	reserved(f, path, annotations)
	size := 0
	for key, value := range annotations {
		size += len(key) + len(value)
	}
	if limit := apivalidation.TotalAnnotationSizeLimitB - ownAnnotationBytes - scriptBytes; size > 0 && size > limit {
		f.add(field.TooLong(path, "", max(0, limit)))
	}
}

// reserved checks that no key has the controller's prefix.
func reserved(f *faults, path *field.Path, keys map[string]string) {
	for _, key := range sortedKeys(keys) {
		if strings.HasPrefix(key, reservedPrefix) {
			f.add(
				field.Forbidden(
					path.Key(cut(key)),
					"the prefix "+reservedPrefix+" is reserved for the controller: choose another one",
				),
			)
		}
	}
}

// checkVolumes checks the volumes and returns their names.
func checkVolumes(f *faults, path *field.Path, volumes []corev1.Volume, workspace bool) map[string]bool {
	names := make(map[string]bool, len(volumes))
	for i := range volumes {
		v, at := &volumes[i], path.Index(i)
		switch {
		case v.Name == "":
			f.add(field.Required(at.Child("name"), ""))
		case v.Name == scriptVolume, v.Name == WorkspaceVolume && workspace:
			f.add(field.Forbidden(at.Child("name"),
				"this volume name is reserved for the controller: choose another name"))
		case names[v.Name]:
			f.add(duplicate(at.Child("name"), v.Name))
		default:
			wellFormed(f, at.Child("name"), v.Name, validation.IsDNS1123Label)
		}
		names[v.Name] = true
		if sources := countSources(&v.VolumeSource); sources > 1 {
			f.add(field.Forbidden(at, fmt.Sprintf("a volume has one source, not %d", sources)))
		}
	}
	return names
}

// countSources counts the fields of a volume source that are set. All of them are pointers.
func countSources(source *corev1.VolumeSource) int {
	count := 0
	for _, value := range reflect.ValueOf(source).Elem().Fields() {
		if value.Kind() == reflect.Pointer && !value.IsNil() {
			count++
		}
	}
	return count
}

// mountChecker checks the volumeMounts of a container.
type mountChecker struct {
	volumes   map[string]bool
	workspace bool
	alias     bool // WorkspaceAlias may be mounted; for a DagTask each DAG that uses it decides
}

func (m mountChecker) check(f *faults, fieldPath *field.Path, mounts []corev1.VolumeMount) {
	taken := make(map[string]bool, len(mounts))
	for i := range mounts {
		mount, at := &mounts[i], fieldPath.Index(i)
		clean := path.Clean("/" + mount.MountPath)
		switch {
		case mount.Name == "":
			f.add(field.Required(at.Child("name"), ""))
		case m.volumes[mount.Name], m.alias && mount.Name == WorkspaceAlias:
		case mount.Name == oldScriptVolume:
			f.add(
				notFound(
					at.Child("name"),
					mount.Name,
					"podTemplate.volumes has no volume of this name; the script is "+scriptMount+"/script",
				),
			)
		default:
			f.add(notFound(at.Child("name"), mount.Name, "podTemplate.volumes has no volume of this name"))
		}
		switch {
		case mount.MountPath == "":
			f.add(field.Required(at.Child("mountPath"), ""))
		case taken[mount.MountPath]:
			f.add(duplicate(at.Child("mountPath"), mount.MountPath))
		case clean == scriptMount || strings.HasPrefix(clean, scriptMount+"/"):
			f.add(field.Forbidden(at.Child("mountPath"),
				scriptMount+" is reserved for the controller: mount the volume elsewhere"))
		case m.workspace && clean == WorkspaceMount:
			f.add(
				field.Forbidden(
					at.Child("mountPath"),
					WorkspaceMount+" is where the workspace is mounted: mount the volume elsewhere",
				),
			)
		}
		taken[mount.MountPath] = true
		checkSubPath(f, at.Child("subPath"), mount.SubPath)
		checkSubPath(f, at.Child("subPathExpr"), mount.SubPathExpr)
		if mount.SubPath != "" && mount.SubPathExpr != "" {
			f.add(field.Forbidden(at.Child("subPathExpr"), "subPathExpr excludes subPath"))
		}
	}
}

func checkSubPath(f *faults, at *field.Path, subPath string) {
	if strings.HasPrefix(subPath, "/") || slices.Contains(strings.Split(subPath, "/"), "..") {
		f.add(invalid(at, subPath, "must be a relative path without .."))
	}
}

// checkEnv accepts every name that some version of Kubernetes accepts. An older cluster rejects it itself.
func checkEnv(f *faults, path *field.Path, env []corev1.EnvVar) {
	seen := make(map[string]bool, len(env))
	for i := range env {
		e, at := &env[i], path.Index(i)
		switch {
		case e.Name == "":
			f.add(field.Required(at.Child("name"), ""))
		case seen[e.Name]:
			f.add(duplicate(at.Child("name"), e.Name))
		default:
			wellFormed(f, at.Child("name"), e.Name, validation.IsRelaxedEnvVarName)
		}
		seen[e.Name] = true
		withoutNUL(f, at.Child("value"), e.Value)
		if e.ValueFrom == nil {
			continue
		}
		sources := countSet(e.ValueFrom.FieldRef != nil, e.ValueFrom.ResourceFieldRef != nil,
			e.ValueFrom.ConfigMapKeyRef != nil, e.ValueFrom.SecretKeyRef != nil, e.ValueFrom.FileKeyRef != nil)
		switch {
		case sources != 1:
			f.add(field.Forbidden(at.Child("valueFrom"),
				fmt.Sprintf("exactly one source is required, not %d", sources)))
		case e.Value != "":
			f.add(field.Forbidden(at.Child("valueFrom"), "valueFrom excludes value"))
		}
	}
}

func checkEnvFrom(f *faults, path *field.Path, envFrom []corev1.EnvFromSource) {
	for i := range envFrom {
		e, at := &envFrom[i], path.Index(i)
		if e.Prefix != "" {
			wellFormed(f, at.Child("prefix"), e.Prefix, validation.IsRelaxedEnvVarName)
		}
		if countSet(e.ConfigMapRef != nil, e.SecretRef != nil) != 1 {
			f.add(field.Forbidden(at, "exactly one of configMapRef and secretRef is required"))
		}
		if e.ConfigMapRef != nil {
			objectName(f, at.Child("configMapRef", "name"), e.ConfigMapRef.Name)
		}
		if e.SecretRef != nil {
			objectName(f, at.Child("secretRef", "name"), e.SecretRef.Name)
		}
	}
}

func countSet(fields ...bool) int {
	count := 0
	for _, set := range fields {
		if set {
			count++
		}
	}
	return count
}

func checkInitContainers(f *faults, path *field.Path, containers []corev1.Container, mounts mountChecker) {
	seen := make(map[string]bool, len(containers))
	for i := range containers {
		container, at := &containers[i], path.Index(i)
		switch {
		case container.Name == "":
			f.add(field.Required(at.Child("name"), ""))
		case container.Name == v1alpha1.TaskContainer:
			f.add(field.Forbidden(at.Child("name"), "the task's own container has this name"))
		case seen[container.Name]:
			f.add(duplicate(at.Child("name"), container.Name))
		default:
			wellFormed(f, at.Child("name"), container.Name, validation.IsDNS1123Label)
		}
		seen[container.Name] = true
		switch {
		case container.Image == "":
			f.add(field.Required(at.Child("image"), ""))
		case container.Image != strings.TrimSpace(container.Image):
			f.add(invalid(at.Child("image"), container.Image,
				"must not have leading or trailing whitespace: remove it"))
		}
		mounts.check(f, at.Child("volumeMounts"), container.VolumeMounts)
		checkEnv(f, at.Child("env"), container.Env)
		checkEnvFrom(f, at.Child("envFrom"), container.EnvFrom)
		oneOf(f, at.Child("imagePullPolicy"), container.ImagePullPolicy,
			corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
		checkResources(f, at.Child("resources"), &container.Resources)
	}
}

func checkTolerations(f *faults, path *field.Path, tolerations []corev1.Toleration) {
	for i := range tolerations {
		t, at := &tolerations[i], path.Index(i)
		if t.Key != "" {
			wellFormed(f, at.Child("key"), t.Key, validation.IsQualifiedName)
		} else if t.Operator != corev1.TolerationOpExists {
			f.add(invalid(at.Child("operator"), string(t.Operator), "must be Exists where key is empty"))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			wellFormed(f, at.Child("value"), t.Value, validation.IsValidLabelValue)
		case corev1.TolerationOpExists:
			if t.Value != "" {
				f.add(invalid(at.Child("value"), t.Value, "must be empty where operator is Exists"))
			}
		default: // the API server checks newer operators
		}
		oneOf(f, at.Child("effect"), t.Effect,
			corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			f.add(
				invalid(
					at.Child("effect"),
					string(t.Effect),
					"must be NoExecute where tolerationSeconds is set: leave tolerationSeconds out",
				),
			)
		}
	}
}

func checkResources(f *faults, path *field.Path, resources *corev1.ResourceRequirements) {
	checkQuantities(f, path, resources.Requests, resources.Limits)
	for i := range resources.Claims {
		f.add(field.Forbidden(path.Child("claims").Index(i), "podTemplate has no resource claims that this could name"))
	}
}

// checkQuantities checks requests and limits. It compares copies, because comparing a quantity may change it.
func checkQuantities(f *faults, path *field.Path, requests, limits corev1.ResourceList) {
	for _, name := range sortedKeys(limits) {
		notNegative(f, path.Child("limits").Key(cut(string(name))), limits, name)
	}
	for _, name := range sortedKeys(requests) {
		at := path.Child("requests").Key(cut(string(name)))
		notNegative(f, at, requests, name)
		request := requests[name]
		if limit, limited := limits[name]; limited && request.Cmp(limit) > 0 {
			f.add(invalid(at, request.String(), "must not be above the limit "+limit.String()))
		}
	}
}

func notNegative(f *faults, at *field.Path, list corev1.ResourceList, name corev1.ResourceName) {
	if quantity := list[name]; quantity.Sign() < 0 {
		f.add(invalid(at, quantity.String(), "must not be negative"))
	}
}
