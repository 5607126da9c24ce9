package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// volumeProvisioner makes a directory of the cluster's own for each claim.
	// Every node sees it: any access mode holds what it promises.
	volumeProvisioner = "cluster.local/directory"
	// defaultClass is the name of the cluster's StorageClass.
	defaultClass = "standard"
	// bindPeriod is how soon a claim that could not bind is tried again.
	bindPeriod = 5 * time.Second

	annotationProvisioner   = "volume.kubernetes.io/storage-provisioner"
	annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"
	annotationDefaultClass  = "storageclass.kubernetes.io/is-default-class"
)

// volumes provisions claims and removes the volumes of deleted ones.
type volumes struct {
	cluster *Cluster
	client  kubernetes.Interface
	claims  corelisters.PersistentVolumeClaimLister
	all     corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	queue   workqueue.TypedRateLimitingInterface[volumeKey]
}

// volumeKey names a claim or, without a namespace, a volume.
type volumeKey = cache.ObjectName

// serveVolumes makes the cluster's storage class and serves it.
func serveVolumes(ctx context.Context, c *Cluster) error {
	client, err := newClient(c)
	if err != nil {
		return err
	}
	reclaim, bind := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate
	_, err = client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name: defaultClass, Annotations: map[string]string{annotationDefaultClass: "true"},
		},
		Provisioner: volumeProvisioner, ReclaimPolicy: &reclaim, VolumeBindingMode: &bind,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a storage class: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	claims, all := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	classes := factory.Storage().V1().StorageClasses()
	v := &volumes{
		cluster: c, client: client, claims: claims.Lister(), all: all.Lister(), classes: classes.Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[volumeKey](pollInterval, bindPeriod),
		),
	}
	changed := func(obj any) { v.queue.Add(cache.MetaObjectToName(obj.(metav1.Object))) }
	_ = classes.Informer() // the lister needs it; of itself it changes nothing
	for _, informer := range []cache.SharedIndexInformer{claims.Informer(), all.Informer()} {
		handler := cache.ResourceEventHandlerFuncs{AddFunc: changed, UpdateFunc: func(_, obj any) { changed(obj) }}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watching volumes: %w", err)
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("listing %s: %w", kind, context.Cause(ctx))
		}
	}
	context.AfterFunc(ctx, v.queue.ShutDown)
	go v.work(ctx)
	return nil
}

func (v *volumes) work(ctx context.Context) {
	for {
		key, shutdown := v.queue.Get()
		if shutdown {
			return
		}
		sync := v.provision
		if key.Namespace == "" {
			sync = v.reclaim
		}
		if err := sync(ctx, key); err != nil {
			fmt.Fprintln(os.Stderr, "serving volumes:", err)
			v.queue.AddRateLimited(key)
		} else {
			v.queue.Forget(key)
		}
		v.queue.Done(key)
	}
}

// provision makes the volume of a claim that the controller manager has
// assigned to this provisioner.
func (v *volumes) provision(ctx context.Context, key volumeKey) error {
	claim, err := v.claims.PersistentVolumeClaims(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading claim %s: %w", key, err)
	}
	if claim.Annotations[annotationProvisioner] != volumeProvisioner || claim.Spec.VolumeName != "" ||
		claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return nil
	}
	if mode := claim.Spec.VolumeMode; mode != nil && *mode == corev1.PersistentVolumeBlock {
		fmt.Fprintf(os.Stderr, "claim %s asks for a block device, which there is not\n", key)
		return nil
	}
	class, err := v.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return fmt.Errorf("reading the class of claim %s: %w", key, err)
	}
	name := "pvc-" + string(claim.UID)
	path := v.cluster.path("volumes", name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("making the volume of claim %s: %w", key, err)
	}
	// Pods may run as any user.
	if err := os.Chmod(path, 0o777); err != nil {
		return fmt.Errorf("making the volume of claim %s: %w", key, err)
	}
	_, err = v.client.CoreV1().PersistentVolumes().Create(ctx,
		newVolume(name, path, claim, class), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the volume of claim %s: %w", key, err)
	}
	return nil
}

func newVolume(
	name, path string,
	claim *corev1.PersistentVolumeClaim,
	class *storagev1.StorageClass,
) *corev1.PersistentVolume {
	policy, directory := corev1.PersistentVolumeReclaimDelete, corev1.HostPathDirectory
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Annotations: map[string]string{annotationProvisionedBy: volumeProvisioner},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: policy,
			StorageClassName:              class.Name,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &directory},
			},
		},
	}
}

// reclaim removes a volume whose claim is gone, where its policy is Delete.
func (v *volumes) reclaim(ctx context.Context, key volumeKey) error {
	volume, err := v.all.Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading volume %s: %w", key.Name, err)
	}
	if volume.Annotations[annotationProvisionedBy] != volumeProvisioner ||
		volume.Status.Phase != corev1.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete ||
		volume.DeletionTimestamp != nil {
		return nil
	}
	if err := os.RemoveAll(v.cluster.path("volumes", filepath.Base(volume.Name))); err != nil {
		return fmt.Errorf("removing volume %s: %w", key.Name, err)
	}
	err = v.client.CoreV1().
		PersistentVolumes().
		Delete(ctx, volume.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &volume.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing volume %s: %w", key.Name, err)
	}
	return nil
}
