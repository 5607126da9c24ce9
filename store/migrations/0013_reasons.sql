-- Since when a task or an attempt has its reason.
-- oldest-compatible: 1

CREATE OR REPLACE VIEW kontroler_v1.attempts AS
SELECT a.id, a.run_id, a.task_id, a.number, a.phase, a.reason, a.message, a.stop, a.pod_name, a.pod_uid, a.node, a.exit_code,
       a.due_at, a.reused_from, a.stray_uid, a.decided_at, a.created_at, a.started_at, a.finished_at, a.reason_at
FROM kontroler.attempts a;

-- reason_at is that of the reason of the live attempt. Other reasons have none: they follow from other rows.
CREATE OR REPLACE VIEW kontroler_v1.tasks AS
SELECT t.id, t.run_id, t.position, t.index, t.name, t.phase,
       CASE WHEN t.phase = 'Waiting' THEN 'NeedsParents'
            WHEN t.phase = 'Active' AND a.reason <> '' THEN a.reason
            WHEN t.phase = 'Active' AND a.phase = 'Decided' THEN coalesce(nullif(nullif(r.hold, ''), 'MaxParallel'), 'Pending')
            WHEN t.phase = 'Active' AND a.phase = 'Pending' THEN 'ContainerCreating'
            WHEN t.phase = 'Active' THEN ''
            WHEN t.phase = 'Ready' AND (t.reason = '' OR t.due_at <= now()) THEN r.hold
            ELSE t.reason END AS reason,
       CASE WHEN t.phase = 'Waiting' AND t.parents IS NULL THEN 'needs ' || t.unmet || CASE WHEN t.unmet = 1 THEN ' more task' ELSE ' more tasks' END
            WHEN t.phase = 'Waiting' THEN coalesce('needs ' || (
                SELECT string_agg(n.name, ', ') FROM (
                    SELECT p.name FROM unnest(t.parents) WITH ORDINALITY AS u (position, nth)
                    CROSS JOIN LATERAL (SELECT x.name, x.phase FROM kontroler.tasks x WHERE x.run_id = t.run_id AND x.position = u.position AND x.index = 0 LIMIT 1) p
                    WHERE p.phase <> 'Succeeded' LIMIT 5) n)
                || CASE WHEN t.unmet > 5 THEN ' and ' || t.unmet - 5 || ' more' ELSE '' END, '')
            WHEN t.phase = 'Active' AND a.reason <> '' THEN a.message
            WHEN t.phase = 'Active' AND a.phase = 'Pending' THEN 'its Pod is being scheduled and started'
            WHEN t.phase = 'Active' AND a.phase = 'Decided' AND r.hold IN ('', 'MaxParallel') THEN 'its Pod is being created'
            WHEN t.phase = 'Active' AND a.phase <> 'Decided' THEN ''
            WHEN t.phase = 'Active' OR t.phase = 'Ready' AND (t.reason = '' OR t.due_at <= now()) THEN
                CASE r.hold WHEN 'QuotaExceeded' THEN 'the quota of the namespace is exceeded' WHEN 'MaxParallel' THEN 'the run has maxParallel tasks active'
                            WHEN 'Throttled' THEN 'the controller has --max-pods Pods'
                            WHEN 'CreateFailed' THEN 'the API server, or a webhook that it asks, fails to answer for Pods of the namespace'
                            WHEN 'NamespaceTerminating' THEN 'the namespace is being deleted'
                            ELSE '' END
            ELSE t.message END AS message,
       t.unmet, t.attempts, t.retries, t.restarts, t.due_at, t.ready_at, t.started_at, t.finished_at,
       CASE WHEN t.phase = 'Active' AND a.reason <> '' THEN a.reason_at
            WHEN t.phase = 'Active' AND a.phase = 'Decided' THEN a.decided_at
            WHEN t.phase = 'Active' AND a.phase = 'Pending' THEN a.created_at END AS reason_at
FROM kontroler.tasks t
JOIN kontroler.runs r ON r.id = t.run_id
LEFT JOIN kontroler.attempts a ON a.task_id = t.id AND a.phase IN ('Decided', 'Pending', 'Running', 'Stopping');
