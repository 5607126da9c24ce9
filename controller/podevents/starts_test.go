package podevents

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/controller/pod"
	"kontroler/store"
)

func TestTheNewestEventAboutAStartIsRemembered(t *testing.T) {
	type event struct {
		kind, reason, message string
		second                int
	}
	failure := event{"Warning", "FailedMount", "no such ConfigMap", 10}
	detaching := event{"Warning", "FailedAttachVolume", `Multi-Attach error for volume "pv-1" Volume is in use`, 10}
	notAttached := event{
		"Warning", "FailedAttachVolume", `AttachVolume.Attach failed for volume "pv-1" : it is in another zone`, 70,
	}
	attached := event{"Normal", "SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume "pv-1"`, 380}
	notMounted := event{"Warning", "FailedMount", `MountVolume.SetUp failed for volume "pv-1" : wrong type`, 390}
	const reported, notReported = true, false
	type step struct {
		event         event
		changesReason bool
	}
	for name, tt := range map[string]struct {
		steps []step
		want  event
		fails bool
	}{
		"a failure is reported once": {
			[]step{{failure, reported}, {event{"Warning", "FailedMount", "no such ConfigMap", 12}, notReported}},
			event{"Warning", "FailedMount", "no such ConfigMap", 12}, true,
		},
		"a failure with another message is reported": {
			[]step{{failure, reported}, {event{"Warning", "FailedMount", "no such Secret", 12}, reported}},
			event{"Warning", "FailedMount", "no such Secret", 12}, true,
		},
		"progress after a failure replaces it, and is reported once": {
			[]step{
				{failure, reported},
				{event{"Normal", "Pulling", "image", 10}, reported},
				{event{"Normal", "Pulling", "image", 11}, notReported},
			},
			event{"Normal", "Pulling", "image", 11}, false,
		},
		"a failure that returns after progress is reported again": {
			[]step{
				{failure, reported},
				{event{"Normal", "Pulling", "image", 11}, reported},
				{event{"Warning", "FailedMount", "no such ConfigMap", 12}, reported},
			},
			event{"Warning", "FailedMount", "no such ConfigMap", 12}, true,
		},
		"an older Event that arrives later is ignored": {
			[]step{{failure, reported}, {event{"Normal", "Pulling", "image", 9}, notReported}},
			failure, true,
		},
		"an Event that says nothing about the start is ignored": {
			[]step{{failure, reported}, {event{"Normal", "SandboxChanged", "", 11}, notReported}},
			failure, true,
		},
		"a kubelet that waits for a volume that another node has says nothing new": {
			[]step{
				{detaching, reported},
				{event{"Warning", "FailedMount", "Unable to attach or mount volumes", 130}, notReported},
			},
			detaching, true,
		},
		"a Pod that is scheduled in the second of the error waits for the same volume": {
			[]step{{detaching, reported}, {event{"Normal", "Scheduled", "assigned", 10}, notReported}},
			detaching, true,
		},
		"the error of the second in which a Pod is scheduled is reported": {
			[]step{{event{"Normal", "Scheduled", "assigned", 11}, notReported}, {detaching, reported}},
			detaching, true,
		},
		"another volume that is attached says nothing new": {
			[]step{
				{detaching, reported},
				{
					event{"Normal", "SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume "pv-2"`, 14},
					notReported,
				},
				{event{"Warning", "FailedMount", "Unable to attach or mount volumes", 130}, notReported},
			},
			detaching, true,
		},
		"another volume that is mounted says nothing new": {
			[]step{
				{detaching, reported},
				{
					event{"Normal", "SuccessfulMountVolume", `MapVolume.MapPodDevice succeeded for volume "pv-2"`, 14},
					notReported,
				},
				{event{"Normal", "VolumePermissionChangeInProgress", "Setting volume ownership", 44}, notReported},
			},
			detaching, true,
		},
		"another volume that cannot be mounted says nothing new": {
			[]step{
				{detaching, reported},
				{event{"Warning", "FailedMount", `MountVolume.SetUp failed for volume "settings" : none`, 12}, notReported},
			},
			detaching, true,
		},
		"a volume that was detached and cannot be attached is reported": {
			[]step{{detaching, reported}, {notAttached, reported}},
			notAttached, true,
		},
		"a failure to mount after the volume was attached is reported": {
			[]step{{detaching, reported}, {attached, reported}, {notMounted, reported}},
			notMounted, true,
		},
		"a failure to mount the volume proves that it was attached": {
			[]step{{detaching, reported}, {notMounted, reported}},
			notMounted, true,
		},
		"a sandbox that fails replaces it": {
			[]step{{detaching, reported}, {event{"Warning", "FailedCreatePodSandBox", "no runtime", 12}, reported}},
			event{"Warning", "FailedCreatePodSandBox", "no runtime", 12}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			starts := newStartEvents()
			for _, step := range tt.steps {
				e := step.event
				got := starts.note(&store.PodEvent{
					Pod: store.Pod{UID: "u"}, Type: e.kind, Reason: e.reason, Message: e.message, LastAt: at(e.second),
				})
				if got != step.changesReason {
					t.Errorf("%v changes the reason: %t, want %t", e, got, step.changesReason)
				}
			}
			want := pod.StartEvent{
				Reason: tt.want.reason, Message: tt.want.message, Fails: tt.fails, At: at(tt.want.second),
				AwaitsDetach: tt.want == detaching,
			}
			if tt.want == detaching || tt.want == notAttached || tt.want == notMounted {
				want.Volume = "pv-1"
			}
			if diff := cmp.Diff(want, starts.newest("u")); diff != "" {
				t.Errorf("newest Event (-want +got):\n%s", diff)
			}
			starts.forget("u")
			if diff := cmp.Diff(pod.StartEvent{}, starts.newest("u")); diff != "" {
				t.Errorf("newest Event of a forgotten Pod (-want +got):\n%s", diff)
			}
		})
	}
}
