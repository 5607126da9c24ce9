package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"kontroler/store/internal/postgres"
)

// Identity identifies the controller and the cluster that a database belongs to.
type Identity struct {
	// ControllerID is a letter and nine characters of a-z and 0-9. It is created once.
	ControllerID string
	// CreatedAt is the time when ControllerID was created, by the database's clock.
	CreatedAt time.Time
	// ClusterUID is the UID of the namespace kube-system of the cluster. It is empty until BindCluster sets it.
	ClusterUID string
}

// OtherClusterError means that the database belongs to another cluster. It matches ErrOtherCluster.
type OtherClusterError struct {
	Bound string // the UID of the stored cluster
	Found string // the UID that was given
}

func (e *OtherClusterError) Error() string {
	return fmt.Sprintf("the database belongs to the cluster whose kube-system has UID %s; this one's has %s",
		e.Bound, e.Found)
}

// Is makes the error match ErrOtherCluster.
func (e *OtherClusterError) Is(target error) bool { return target == ErrOtherCluster }

const (
	sqlIdentity = `
SELECT controller_id, created_at, coalesce(cluster_uid, '') FROM kontroler.identity WHERE singleton`
	sqlIdentityMake = `INSERT INTO kontroler.identity (controller_id) VALUES ($1) ON CONFLICT (singleton) DO NOTHING`
	sqlClusterLock  = `SELECT coalesce(cluster_uid, '') FROM kontroler.identity WHERE singleton FOR UPDATE`
	sqlClusterBind  = `UPDATE kontroler.identity SET cluster_uid = $1 WHERE singleton`
)

// Identity reads the identity of the database. The first call creates the controller's id. Concurrent calls return the
// same id.
func (db *DB) Identity(ctx context.Context) (Identity, error) {
	var identity Identity
	for range 2 {
		row := db.pool.QueryRowContext(ctx, sqlIdentity)
		err := row.Scan(&identity.ControllerID, nullTime(&identity.CreatedAt), &identity.ClusterUID)
		if err == nil {
			return identity, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return Identity{}, fmt.Errorf("reading the identity: %w", postgres.Classify(ctx, err))
		}
		if _, err := db.pool.ExecContext(ctx, sqlIdentityMake, newControllerID()); err != nil {
			return Identity{}, fmt.Errorf("creating the identity: %w", postgres.Classify(ctx, err))
		}
	}
	return Identity{}, errors.New("reading the identity: its row is gone")
}

// BindCluster stores the cluster at the first call. If another cluster is stored, it returns an OtherClusterError; if
// adopt is set, it stores the given one instead.
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
	return postgres.Failed(ctx, err, "binding the database to its cluster")
}

// newControllerID returns ten random characters, of which the first is a letter.
func newControllerID() string {
	for {
		if id := strings.ToLower(rand.Text()[:10]); id[0] >= 'a' {
			return id
		}
	}
}
