package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"strconv"
	"time"

	"kontroler/store/internal/postgres"
)

// PodEvents stores the Events of the Pods of attempts.
type PodEvents struct{ pool *termPool }

// An attempt keeps its first and its newest rows. Rows between them are removed.
const (
	podEventsFirst  = 10
	podEventsNewest = 20
)

// Pod identifies a Pod of an attempt.
type Pod struct {
	UID, RunUID, Name string
}

// PodEvent is a row: all Events of a Pod, or of one of its containers, that have the same text. Count is the highest
// count that one of them has.
type PodEvent struct {
	Pod                                      Pod
	Container, Type, Reason, Message, Source string
	Count                                    int32
	FirstAt, LastAt                          time.Time
}

// sqlPodEventsSave writes only new or changed rows, because Events are delivered repeatedly. It returns the attempts of
// the rows that it wrote. LIMIT makes the planner look up each attempt by itself. An attempt whose Pod has another UID
// does not match.
const (
	sqlPodEventsSave = `
WITH saved AS (
    INSERT INTO kontroler.pod_events AS p
        (attempt_id, at, key, container, type, reason, message, source, count, first_at, last_at)
    SELECT a.id, a.decided_at, e.key, e.container, e.type, e.reason, e.message, e.source, e.count, e.first_at, e.last_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::integer[], $11::timestamptz[], $12::timestamptz[])
         AS e (pod_uid, run_uid, pod_name, key, container, type, reason, message, source, count, first_at, last_at)
    CROSS JOIN LATERAL (SELECT r.id FROM kontroler.runs r WHERE r.uid = e.run_uid LIMIT 1) r
    CROSS JOIN LATERAL (
        SELECT a.id, a.decided_at, a.pod_uid FROM kontroler.attempts a
        WHERE a.run_id = r.id AND a.pod_name = e.pod_name LIMIT 1) a
    WHERE coalesce(a.pod_uid, e.pod_uid) = e.pod_uid
    ON CONFLICT (attempt_id, key, at) DO UPDATE SET count = greatest(p.count, excluded.count),
        first_at = least(p.first_at, excluded.first_at), last_at = greatest(p.last_at, excluded.last_at)
    WHERE p.count < excluded.count OR p.first_at > excluded.first_at OR p.last_at < excluded.last_at
    RETURNING attempt_id, at)
SELECT k.attempt_id, k.at, a.run_id, k.n
FROM (SELECT attempt_id, at, count(*) AS n FROM saved GROUP BY attempt_id, at) k
CROSS JOIN LATERAL (SELECT a.run_id FROM kontroler.attempts a WHERE a.id = k.attempt_id LIMIT 1) a`
	sqlPodEventsTrim = `
WITH ranked AS (
    SELECT found.*, row_number() OVER (PARTITION BY attempt_id ORDER BY first_at, key) AS first,
           row_number() OVER (PARTITION BY attempt_id ORDER BY last_at DESC, key) AS newest
    FROM unnest($1::bigint[], $2::timestamptz[]) AS c (id, at)
    CROSS JOIN LATERAL (
        SELECT p.attempt_id, p.at, p.key, p.first_at, p.last_at FROM kontroler.pod_events p
        WHERE p.attempt_id = c.id AND p.at = c.at) found)
DELETE FROM kontroler.pod_events p USING ranked r
WHERE p.attempt_id = r.attempt_id AND p.key = r.key AND p.at = r.at AND r.first > $3 AND r.newest > $4`
	sqlPodsRecent = `
SELECT a.pod_uid, r.uid, a.pod_name
FROM (SELECT x.run_id, x.pod_uid, x.pod_name FROM kontroler.attempts x ORDER BY x.id DESC LIMIT $1) a
CROSS JOIN LATERAL (SELECT r.uid FROM kontroler.runs r WHERE r.id = a.run_id LIMIT 1) r
WHERE a.pod_uid IS NOT NULL`
)

// Save stores Events with the attempts of their Pods, and returns how many of them were new. No two of them may have
// the same text and Pod. Saving an Event again is harmless. Events of Pods without an attempt are ignored, as are rows
// beyond the limits of an attempt.
func (p *PodEvents) Save(ctx context.Context, events []PodEvent) (saved int, err error) {
	err = p.pool.write(ctx, func(q querier) (err error) {
		saved, err = savePodEvents(ctx, q, events)
		return err
	})
	return saved, postgres.Failed(ctx, err, "saving %d Events of Pods", len(events))
}

func savePodEvents(ctx context.Context, q querier, events []PodEvent) (saved int, err error) {
	var attempts, runs []int64
	var at []time.Time
	_, err = postgres.ReadRows(ctx, q, func(rows *sql.Rows) (none struct{}, err error) {
		var attempt, run int64
		var decidedAt time.Time
		var n int
		err = rows.Scan(&attempt, nullTime(&decidedAt), &run, &n)
		attempts, at, runs, saved = append(attempts, attempt), append(at, decidedAt), append(runs, run), saved+n
		return none, err
	}, sqlPodEventsSave, podEventArgs(events)...)
	if err != nil || saved == 0 {
		return 0, err
	}
	_, err = q.ExecContext(ctx, sqlPodEventsTrim, attempts, timestamps(at), podEventsFirst, podEventsNewest)
	if err != nil {
		return 0, err
	}
	return saved, recordRunChanges(ctx, q, runs...)
}

// podEventArgs returns the arguments of sqlPodEventsSave.
func podEventArgs(events []PodEvent) []any {
	var podUIDs, runUIDs, pods, keys, containers, types, reasons, messages, sources []string
	var counts []int64
	var first, last []time.Time
	for _, e := range events {
		text := []string{clean(e.Container), clean(e.Type), clean(e.Reason), clean(e.Message), clean(e.Source)}
		podUIDs, runUIDs, pods = append(podUIDs, e.Pod.UID), append(runUIDs, e.Pod.RunUID), append(pods, e.Pod.Name)
		keys, containers, types = append(keys, textKey(text)), append(containers, text[0]), append(types, text[1])
		reasons, messages, sources = append(reasons, text[2]), append(messages, text[3]), append(sources, text[4])
		counts, first, last = append(counts, int64(e.Count)), append(first, e.FirstAt), append(last, e.LastAt)
	}
	return []any{
		texts(podUIDs), texts(runUIDs), texts(pods), texts(keys), texts(containers), texts(types), texts(reasons),
		texts(messages), texts(sources), counts, timestamps(first), timestamps(last),
	}
}

// textKey returns a hash over texts, in the form of a UUID. Each text is preceded by its length.
func textKey(texts []string) string {
	h := sha256.New()
	for _, text := range texts {
		h.Write([]byte(strconv.Itoa(len(text)) + ":" + text))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// RecentPods returns the Pods of the newest attempts, at most limit of them, in no order. Events of a Pod may still
// arrive after the Pod is gone.
func (p *PodEvents) RecentPods(ctx context.Context, limit int) ([]Pod, error) {
	pods, err := postgres.ReadRows(ctx, p.pool.db, func(rows *sql.Rows) (pod Pod, err error) {
		err = rows.Scan(&pod.UID, &pod.RunUID, &pod.Name)
		return pod, err
	}, sqlPodsRecent, limit)
	return pods, postgres.Failed(ctx, err, "listing the Pods of the newest attempts")
}
