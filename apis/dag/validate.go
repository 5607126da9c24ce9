package dag

import (
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	maxTasks        = 10000
	maxParents      = 10000
	maxCount        = 10000
	maxSeconds      = 31536000 // a year
	maxFactor       = 100
	maxScriptBytes  = 131072
	maxInt32        = 1<<31 - 1
	maxGraceSeconds = 86400
)

// checkSpec checks all fields except tasks and parameters.
func (c *compiler) checkSpec() {
	s, f := c.spec, &c.faults
	c.checkSchedule()
	inRange(f, c.root.Child("startingDeadlineSeconds"), s.StartingDeadlineSeconds, 0, maxSeconds)
	oneOf(f, c.root.Child("concurrencyPolicy"), s.ConcurrencyPolicy,
		v1alpha1.AllowConcurrent, v1alpha1.ForbidConcurrent, v1alpha1.ReplaceConcurrent)
	inRange(f, c.root.Child("successfulRunsHistoryLimit"), s.SuccessfulRunsHistoryLimit, 0, maxCount)
	inRange(f, c.root.Child("failedRunsHistoryLimit"), s.FailedRunsHistoryLimit, 0, maxCount)
	oneOf(f, c.root.Child("catchUp"), s.CatchUp, v1alpha1.CatchUpNone, v1alpha1.CatchUpLatest, v1alpha1.CatchUpAll)
	inRange(f, c.root.Child("catchUpLimit"), s.CatchUpLimit, 1, maxCount)
	c.checkWebhook()
	c.checkWorkspace()
	inRange(f, c.root.Child("maxParallel"), s.MaxParallel, 1, maxCount)
	oneOf(f, c.root.Child("logs"), s.Logs, v1alpha1.LogsCapture, v1alpha1.LogsFollow, v1alpha1.LogsOff)
	inRange(f, c.root.Child("activeDeadlineSeconds"), s.ActiveDeadlineSeconds, 1, maxSeconds)
	inRange(f, c.root.Child("ttlSecondsAfterFinished"), s.TTLSecondsAfterFinished, 0, maxInt32)
	if s.DSL != nil {
		c.add(field.Forbidden(c.root.Child("dsl"), "dsl is not supported: write the tasks in spec.task"))
	}
}

// checkSchedule checks the schedule and its zone.
func (c *compiler) checkSchedule() {
	s := c.spec
	_, zoneErr := parseZone(s.TimeZone)
	if zoneErr != nil {
		c.add(invalid(c.root.Child("timeZone"), *s.TimeZone, zoneErr.Error()))
	}
	prefix, zone, expression := splitZone(s.Schedule)
	if s.Schedule != "" {
		if _, err := parseCron(expression); err != nil {
			c.add(invalid(c.root.Child("schedule"), s.Schedule, err.Error()))
		}
	}
	if prefix == "" {
		return
	}
	if s.TimeZone != nil && *s.TimeZone != zone {
		c.add(invalid(c.root.Child("schedule"), s.Schedule, otherZone(prefix, *s.TimeZone).Error()))
	} else if _, err := parseZone(&zone); err != nil && zone != "" && zoneErr == nil {
		c.add(invalid(c.root.Child("schedule"), s.Schedule, prefix+zone+" "+err.Error()))
	}
}

// checkWebhook does not quote the URL, because it may contain a token.
func (c *compiler) checkWebhook() {
	w, path := c.spec.Webhook, c.root.Child("webhook")
	if w == nil {
		return
	}
	if w.URL != "" {
		parsed, err := url.Parse(w.URL)
		if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
			c.add(
				invalid(
					path.Child("url"),
					nil,
					"must be an http or https URL, scheme and host included, "+
						"such as https://hooks.example.com/kontroler",
				),
			)
		}
	}
	if w.SecretRef != nil {
		checkSecretKeyRef(&c.faults, path.Child("secretRef"), w.SecretRef)
	}
	for i, event := range w.Events {
		if event == "" {
			c.add(field.Required(path.Child("events").Index(i), ""))
			continue
		}
		oneOf(&c.faults, path.Child("events").Index(i), event, v1alpha1.EventTaskSucceeded, v1alpha1.EventTaskFailed,
			v1alpha1.EventRunSucceeded, v1alpha1.EventRunFailed, v1alpha1.EventRunCancelled)
	}
}

// workspaceOf returns the workspace of a spec, or nil if it is not enabled.
func workspaceOf(spec *v1alpha1.DAGSpec) *v1alpha1.Workspace {
	if spec.Workspace == nil || !spec.Workspace.Enable {
		return nil
	}
	return spec.Workspace
}

// checkWorkspace checks the claim of a workspace as the API server would, and that tasks can write to it.
func (c *compiler) checkWorkspace() {
	w, path := workspaceOf(c.spec), c.root.Child("workspace", "pvc")
	if w == nil {
		return
	}
	checkAccessModes(&c.faults, path.Child("accessModes"), w.PVC.AccessModes)
	if w.PVC.Selector != nil {
		for _, err := range metav1validation.ValidateLabelSelector(w.PVC.Selector,
			metav1validation.LabelSelectorValidationOptions{}, path.Child("selector")) {
			c.add(err)
		}
	}
	checkQuantities(&c.faults, path.Child("resources"), w.PVC.Resources.Requests, w.PVC.Resources.Limits)
	size := path.Child("resources", "requests").Key(string(corev1.ResourceStorage))
	if storage, isSet := w.PVC.Resources.Requests[corev1.ResourceStorage]; !isSet {
		c.add(field.Required(size, "a workspace needs a size, such as 1Gi"))
	} else if storage.IsZero() {
		c.add(invalid(size, storage.String(), "must be greater than zero"))
	}
	if w.PVC.StorageClassName != nil && *w.PVC.StorageClassName != "" {
		objectName(&c.faults, path.Child("storageClassName"), *w.PVC.StorageClassName)
	}
	if mode := w.PVC.VolumeMode; mode != nil && *mode == corev1.PersistentVolumeBlock {
		c.add(
			invalid(
				path.Child("volumeMode"),
				string(*mode),
				"must be Filesystem, or left out: a workspace is mounted at "+WorkspaceMount,
			),
		)
	} else if mode != nil {
		oneOf(&c.faults, path.Child("volumeMode"), *mode, corev1.PersistentVolumeFilesystem)
	}
}

func checkAccessModes(f *faults, path *field.Path, modes []corev1.PersistentVolumeAccessMode) {
	for i, mode := range modes {
		oneOf(
			f,
			path.Index(i),
			mode,
			corev1.ReadWriteOnce,
			corev1.ReadOnlyMany,
			corev1.ReadWriteMany,
			corev1.ReadWriteOncePod,
		)
		if mode == "" {
			f.add(field.Required(path.Index(i), ""))
		}
	}
	writes := func(mode corev1.PersistentVolumeAccessMode) bool { return mode != corev1.ReadOnlyMany }
	switch {
	case len(modes) > 0 && !slices.ContainsFunc(modes, writes):
		f.add(field.Forbidden(path, "ReadOnlyMany alone: no task could write to the workspace"))
	case slices.Contains(modes, corev1.ReadWriteOncePod) && len(modes) > 1:
		f.add(field.Forbidden(path, "ReadWriteOncePod excludes every other access mode"))
	}
}

// checkTasks checks each task and indexes them by name.
func (c *compiler) checkTasks() {
	tasks, path := c.spec.Task, c.root.Child("task")
	c.positions = make(map[string]int32, len(tasks))
	switch {
	case len(tasks) == 0:
		c.add(field.Required(path, "a DAG needs a task"))
	case len(tasks) > maxTasks:
		c.add(field.TooMany(path, len(tasks), maxTasks))
	}
	for i := range tasks {
		t, path := &tasks[i], c.task(i)
		if t.Name == "" {
			c.add(field.Required(path.Child("name"), ""))
		} else {
			wellFormed(&c.faults, path.Child("name"), t.Name, validation.IsDNS1123Label)
			if _, taken := c.positions[t.Name]; taken {
				c.add(duplicate(path.Child("name"), t.Name))
			} else {
				c.positions[t.Name] = int32(i)
			}
		}
		if len(t.RunAfter) > maxParents {
			c.add(field.TooMany(path.Child("runAfter"), len(t.RunAfter), maxParents))
		}
		if t.TaskRef != nil {
			objectName(&c.faults, path.Child("taskRef", "name"), t.TaskRef.Name)
			inRange(&c.faults, path.Child("taskRef", "version"), &t.TaskRef.Version, 0, maxInt32)
		} else if t.Image == "" {
			c.add(field.Required(path.Child("image"), "unless taskRef names a DagTask that has one"))
		}
		c.checkTaskParameters(i, path.Child("parameters"))
		c.checkTemplate(&t.TaskTemplate, path)
	}
}

// checkTemplate checks the fields that a task and a DagTask share, except for the names of their parameters.
func (c *compiler) checkTemplate(t *v1alpha1.TaskTemplate, path *field.Path) {
	c.checkContainer(t, path)
	checkRetries(&c.faults, t, path)
	if t.PodTemplate == nil {
		return
	}
	for j := range t.PodTemplate.Env {
		if name := t.PodTemplate.Env[j].Name; slices.Contains(t.Parameters, name) {
			c.add(field.Forbidden(path.Child("podTemplate", "env").Index(j).Child("name"),
				"parameter \""+cut(name)+"\" of this task sets the same environment variable"))
		}
	}
	c.checkPodTemplate(t, path.Child("podTemplate"))
}

// checkContainer checks the image, the script, the command and the timeout of the task's container.
func (c *compiler) checkContainer(t *v1alpha1.TaskTemplate, path *field.Path) {
	f := &c.faults
	if t.Image != strings.TrimSpace(t.Image) {
		c.add(invalid(path.Child("image"), t.Image, "must not have leading or trailing whitespace: remove it"))
	}
	if len(t.Script) > maxScriptBytes {
		c.add(field.TooLong(path.Child("script"), "", maxScriptBytes))
	}
	withoutNUL(f, path.Child("image"), t.Image)
	withoutNUL(f, path.Child("script"), t.Script)
	for i, word := range t.Command {
		withoutNUL(f, path.Child("command").Index(i), word)
	}
	for i, word := range t.Args {
		withoutNUL(f, path.Child("args").Index(i), word)
	}
	inRange(f, path.Child("timeoutSeconds"), t.TimeoutSeconds, 1, maxSeconds)
}

// checkRetries checks backoff. Every limit is valid, and so is every number in retryCodes.
func checkRetries(f *faults, t *v1alpha1.TaskTemplate, path *field.Path) {
	if b := t.Backoff; b != nil {
		path := path.Child("backoff")
		inRange(f, path.Child("factor"), b.Factor, 1, maxFactor)
		if b.Duration != nil && b.Duration.Duration < 0 {
			f.add(invalid(path.Child("duration"), b.Duration.Duration.String(), "must not be negative"))
		}
		if b.MaxDuration != nil && b.MaxDuration.Duration < 0 {
			f.add(invalid(path.Child("maxDuration"), b.MaxDuration.Duration.String(), "must not be negative"))
		}
	}
}

// checkTaskParameters checks that a task names existing parameters of the DAG, each once.
func (c *compiler) checkTaskParameters(position int, path *field.Path) {
	t := &c.spec.Task[position]
	for j, name := range t.Parameters {
		parameter, known := c.parameters[name]
		switch {
		case !known:
			c.add(notFound(path.Index(j), name, "the DAG has no parameter of this name"))
		case c.parameter[parameter] == int32(position+1):
			c.add(duplicate(path.Index(j), name))
		default:
			c.parameter[parameter] = int32(position + 1)
		}
	}
}
