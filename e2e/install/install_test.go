package install_test

import "testing"

// Kontroler is installed from its images, runs DAGs, serves people, moves to production, survives its leader, is
// upgraded, and leaves nothing behind.
func TestInstall(t *testing.T) {
	s := newSite(t)
	step := func(name string, run func(t *testing.T)) {
		if !t.Run(name, run) {
			t.FailNow()
		}
	}
	step("quickstart", s.quickstart)
	step("schedule in a time zone", s.applyZonedSchedule)
	step("people with the server", func(t *testing.T) { s.peopleLive(t, s.forwarded(t), "quickstart") })
	step("locked out", s.lockedOut)
	step("wrong input", s.wrongInput)
	step("role taken away", s.roleTakenAway)
	step("due time in a time zone", s.waitForZonedRun)
	step("Pod Security", s.checkPodSecurity)
	overlay := "manifests/overlays/quickstart"
	if s.cluster == "" {
		t.Log("production, webhooks, leader and upgrade are skipped: they need servers on this machine that Pods reach")
	} else {
		p := newProduction(t, s)
		step("production", p.install)
		step("people with the server behind mTLS", p.people)
		step("webhook with a private CA", p.webhook)
		step("leader killed", p.killLeader)
		step("upgrade", p.upgrade)
		overlay = p.dir
	}
	step("uninstall", func(t *testing.T) { s.uninstall(t, overlay) })
}
