package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

const (
	// podEventsFirst and podEventsNewest are how many rows of an attempt are kept: those that were told first, and those
	// that were told last. What comes between goes.
	podEventsFirst, podEventsNewest = 10, 20
)

// Pod names a Pod of an attempt.
type Pod struct {
	UID, RunUID, Name string
}

// PodEvent is what Events say of a Pod, or of one of its containers, in the same words. Count is the greatest that one of
// them told.
type PodEvent struct {
	Pod                                      Pod
	Container, Type, Reason, Message, Source string
	Count                                    int32
	FirstAt, LastAt                          time.Time
}

// sqlPodEventsKeep writes what is new, and only that: Events are delivered again and again. It returns the attempts of what
// it wrote. Each attempt is looked up by itself (LIMIT sees to that); one whose Pod has another UID is not the Pod's.
const (
	sqlPodEventsKeep = `
WITH kept AS (
    INSERT INTO kontroler.pod_events AS p (attempt_id, at, key, container, type, reason, message, source, count, first_at, last_at)
    SELECT a.id, a.decided_at, e.key, e.container, e.type, e.reason, e.message, e.source, e.count, e.first_at, e.last_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::integer[],
                $11::timestamptz[], $12::timestamptz[])
         AS e (pod_uid, run_uid, pod_name, key, container, type, reason, message, source, count, first_at, last_at)
    CROSS JOIN LATERAL (SELECT r.id FROM kontroler.runs r WHERE r.uid = e.run_uid LIMIT 1) r
    CROSS JOIN LATERAL (
        SELECT a.id, a.decided_at, a.pod_uid FROM kontroler.attempts a WHERE a.run_id = r.id AND a.pod_name = e.pod_name LIMIT 1) a
    WHERE coalesce(a.pod_uid, e.pod_uid) = e.pod_uid
    ON CONFLICT (attempt_id, key, at) DO UPDATE SET count = greatest(p.count, excluded.count),
        first_at = least(p.first_at, excluded.first_at), last_at = greatest(p.last_at, excluded.last_at)
    WHERE p.count < excluded.count OR p.first_at > excluded.first_at OR p.last_at < excluded.last_at
    RETURNING attempt_id, at)
SELECT k.attempt_id, k.at, a.run_id, k.n FROM (SELECT attempt_id, at, count(*) AS n FROM kept GROUP BY attempt_id, at) k
CROSS JOIN LATERAL (SELECT a.run_id FROM kontroler.attempts a WHERE a.id = k.attempt_id LIMIT 1) a`
	sqlPodEventsTrim = `
WITH ranked AS (
    SELECT found.*, row_number() OVER (PARTITION BY attempt_id ORDER BY first_at, key) AS first,
           row_number() OVER (PARTITION BY attempt_id ORDER BY last_at DESC, key) AS newest
    FROM unnest($1::bigint[], $2::timestamptz[]) AS c (id, at)
    CROSS JOIN LATERAL (SELECT p.attempt_id, p.at, p.key, p.first_at, p.last_at FROM kontroler.pod_events p WHERE p.attempt_id = c.id AND p.at = c.at) found)
DELETE FROM kontroler.pod_events p USING ranked r
WHERE p.attempt_id = r.attempt_id AND p.key = r.key AND p.at = r.at AND r.first > $3 AND r.newest > $4`
	sqlPodEventsTell = `
WITH told AS (INSERT INTO kontroler.changes (run_id, kind) SELECT DISTINCT r.id, 'run' FROM unnest($1::bigint[]) AS r (id) RETURNING id)
SELECT max(id) FROM told`
	sqlPodsRecent = `
SELECT a.pod_uid, r.uid, a.pod_name FROM (SELECT x.run_id, x.pod_uid, x.pod_name FROM kontroler.attempts x ORDER BY x.id DESC LIMIT $1) a
CROSS JOIN LATERAL (SELECT r.uid FROM kontroler.runs r WHERE r.id = a.run_id LIMIT 1) r
WHERE a.pod_uid IS NOT NULL`
)

// KeepPodEvents keeps Events with the attempts of their Pods, and returns how many said something new. No two of them may
// say the same of a Pod. Repeating it is harmless. Those of Pods that are no attempt's are dismissed, as is what is beyond
// the bound of an attempt.
func (l *Leader) KeepPodEvents(ctx context.Context, events []PodEvent) (kept int, err error) {
	var change int64
	err = l.inTx(ctx, func(q querier) (err error) {
		kept, change, err = keepPodEvents(ctx, q, events)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("keeping %d Events of Pods: %w", len(events), err)
	}
	l.committed(change)
	return kept, nil
}

func keepPodEvents(ctx context.Context, q querier, events []PodEvent) (kept int, change int64, err error) {
	var attempts, runs []int64
	var at []time.Time
	_, err = readRows(ctx, q, func(rows *sql.Rows) (none struct{}, err error) {
		var attempt, run int64
		var decided time.Time
		var n int
		err = rows.Scan(&attempt, nullTime{&decided}, &run, &n)
		attempts, at, runs, kept = append(attempts, attempt), append(at, decided), append(runs, run), kept+n
		return none, err
	}, sqlPodEventsKeep, podEventArgs(events)...)
	if err != nil || kept == 0 {
		return 0, 0, err
	}
	if _, err := q.ExecContext(ctx, sqlPodEventsTrim, attempts, timestamps(at), podEventsFirst, podEventsNewest); err != nil {
		return 0, 0, err
	}
	err = q.QueryRowContext(ctx, sqlPodEventsTell, runs).Scan(&change)
	return kept, change, err
}

// podEventArgs are events column by column. An Event that names no UUIDs is nobody's.
func podEventArgs(events []PodEvent) []any {
	var podUIDs, runUIDs, pods, keys, containers, types, reasons, messages, sources []string
	var counts []int64
	var first, last []time.Time
	for _, e := range events {
		if !isUUID(e.Pod.UID) || !isUUID(e.Pod.RunUID) {
			continue
		}
		text := []string{clean(e.Container), clean(e.Type), clean(e.Reason), clean(e.Message), clean(e.Source)}
		podUIDs, runUIDs, pods, keys = append(podUIDs, e.Pod.UID), append(runUIDs, e.Pod.RunUID), append(pods, e.Pod.Name), append(keys, textKey(text))
		containers, types, reasons, messages, sources = append(containers, text[0]), append(types, text[1]), append(reasons, text[2]), append(messages, text[3]), append(sources, text[4])
		counts, first, last = append(counts, int64(e.Count)), append(first, e.FirstAt), append(last, e.LastAt)
	}
	return []any{texts(podUIDs), texts(runUIDs), texts(pods), texts(keys), texts(containers), texts(types), texts(reasons), texts(messages), texts(sources),
		counts, timestamps(first), timestamps(last)}
}

// textKey is a hash over texts, each preceded by its length, as a UUID.
func textKey(texts []string) string {
	h := sha256.New()
	for _, text := range texts {
		h.Write([]byte(strconv.Itoa(len(text)) + ":" + text))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// RecentPods returns the Pods of the newest attempts, at most limit of them, in no order: Events of a Pod may still come
// when it is gone.
func (l *Leader) RecentPods(ctx context.Context, limit int) ([]Pod, error) {
	pods, err := readRows(ctx, l.pool, func(rows *sql.Rows) (p Pod, err error) {
		return p, rows.Scan(&p.UID, &p.RunUID, &p.Name)
	}, sqlPodsRecent, limit)
	if err != nil {
		return nil, fmt.Errorf("listing the Pods of the newest attempts: %w", classify(ctx, err))
	}
	return pods, nil
}
