package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Identity says whose database this is.
type Identity struct {
	// ControllerID is ten characters of a-z and 0-9, the first a letter; made once.
	ControllerID string
	// CreatedAt is when the id was made, by the database's clock.
	CreatedAt time.Time
	// ClusterUID is the UID of the namespace kube-system of the cluster it serves; empty until BindCluster.
	ClusterUID string
}

// OtherClusterError says that the database serves another cluster. It matches ErrOtherCluster.
type OtherClusterError struct {
	Bound string // the cluster that the database remembers
	Found string // the cluster that was given
}

func (e *OtherClusterError) Error() string {
	return fmt.Sprintf("the database belongs to the cluster whose kube-system has UID %s; this one's has %s", e.Bound, e.Found)
}

// Is makes the error match ErrOtherCluster.
func (e *OtherClusterError) Is(target error) bool { return target == ErrOtherCluster }

const (
	sqlIdentity     = `SELECT controller_id, created_at, coalesce(cluster_uid, '') FROM kontroler.identity WHERE singleton`
	sqlIdentityMake = `INSERT INTO kontroler.identity (controller_id) VALUES ($1) ON CONFLICT (singleton) DO NOTHING`
	sqlClusterLock  = `SELECT coalesce(cluster_uid, '') FROM kontroler.identity WHERE singleton FOR UPDATE`
	sqlClusterBind  = `UPDATE kontroler.identity SET cluster_uid = $1 WHERE singleton`
)

// Identity returns whose database this is, and makes the controller's id the first time, also when several ask at once.
func (db *DB) Identity(ctx context.Context) (Identity, error) {
	var identity Identity
	for range 2 {
		err := db.pool.QueryRowContext(ctx, sqlIdentity).Scan(&identity.ControllerID, &identity.CreatedAt, &identity.ClusterUID)
		if err == nil {
			return identity, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return Identity{}, fmt.Errorf("reading the identity: %w", classify(ctx, err))
		}
		if _, err := db.pool.ExecContext(ctx, sqlIdentityMake, newControllerID()); err != nil {
			return Identity{}, fmt.Errorf("making the identity: %w", classify(ctx, err))
		}
	}
	return Identity{}, errors.New("reading the identity: its row is gone")
}

// BindCluster remembers the cluster the first time. For another than the remembered one it returns an
// OtherClusterError, unless adopt is set: then it remembers that one from now on.
func (db *DB) BindCluster(ctx context.Context, clusterUID string, adopt bool) error {
	if _, err := db.Identity(ctx); err != nil {
		return err
	}
	err := db.InTx(ctx, func(tx *sql.Tx) error {
		var bound string
		if err := tx.QueryRowContext(ctx, sqlClusterLock).Scan(&bound); err != nil {
			return err
		}
		if bound == clusterUID {
			return nil
		}
		if bound != "" && !adopt {
			return &OtherClusterError{Bound: bound, Found: clusterUID}
		}
		_, err := tx.ExecContext(ctx, sqlClusterBind, clusterUID)
		return err
	})
	if err != nil {
		return fmt.Errorf("binding the database to its cluster: %w", err)
	}
	return nil
}

// newControllerID draws ten characters, evenly: bytes that would favour some are thrown away.
func newControllerID() string {
	const letters, all = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, 0, 10)
	for len(id) < 10 {
		from := all
		if len(id) == 0 {
			from = letters
		}
		var b [1]byte
		rand.Read(b[:]) // It never fails: see crypto/rand.
		if int(b[0]) < 256-256%len(from) {
			id = append(id, from[int(b[0])%len(from)])
		}
	}
	return string(id)
}
