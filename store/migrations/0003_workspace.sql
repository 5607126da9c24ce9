-- Workspaces: the claim that a run's Pods use.
-- oldest-compatible: 1

-- NULL until the claim is known to be there, which is before the first Pod that uses it: a claim of another UID, or none, is
-- a workspace that was lost, and is never made again.
ALTER TABLE kontroler.runs ADD COLUMN workspace_uid uuid;

CREATE OR REPLACE VIEW kontroler_v1.runs AS
SELECT r.id, r.uid, r.namespace, r.name, r.dag_name, r.dag_id, r.dag_version_id, r.phase, r.reason, r.message, r.stop, r.hold,
       r.parameters, r.total, r.waiting, r.ready, r.active, r.succeeded, r.failed, r.skipped, r.cancelled,
       r.created_at, r.admitted_at, r.started_at, r.deadline_at, r.finished_at, r.workspace_uid
FROM kontroler.runs r;
