package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"kontroler/apis/process"
	"kontroler/httpapi"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/metrics"
	"kontroler/httpapi/quarters"
	"kontroler/store/accounts"
	"kontroler/store/view"
)

const (
	// maxConnections is how many connections each pool may have.
	maxConnections = 10
	// reloadEvery is how often the files are checked for changes.
	reloadEvery = 5 * time.Second
	// cleanEvery is how often expired rows are removed.
	cleanEvery = 10 * time.Minute
	// drainTimeout bounds how long requests may continue after the signal.
	drainTimeout = 20 * time.Second
)

// serve serves the API until ctx ends.
func serve(ctx context.Context, cfg config, terminal *os.File, log *slog.Logger) error {
	db, err := accounts.Open(cfg.authDatabaseURL, maxConnections)
	if err != nil {
		return fmt.Errorf("%w. Check KONTROLER_AUTH_DATABASE_URL and DATABASE_URL", err)
	}
	defer db.Close()
	views, err := view.Open(view.Config{URL: cfg.databaseURL, MaxOpen: maxConnections})
	if err != nil {
		return fmt.Errorf("%w. Check DATABASE_URL (or --database-url)", err)
	}
	defer views.Close()
	// The monitor has its own connection, so that it does not take a busy pool for an unavailable database.
	checked, err := view.Open(view.Config{URL: cfg.databaseURL, MaxOpen: 1})
	if err != nil {
		return err
	}
	defer checked.Close()
	counters, health := metrics.New(), process.NewHealth(accountsDatabase, viewsDatabase, "cluster", "server")
	live := cluster.NewReader(cfg.clients, cfg.namespaces, counters.ClusterUp, log)
	health.Set("cluster", live.Waiting)
	watched := newMonitor(preparation(db, cfg, terminal, log), func(ctx context.Context) error {
		_, err := checked.Identity(ctx)
		return withHint(err, "DATABASE_URL (or --database-url)")
	}, counters.DatabaseUp, time.Now, log)
	health.Set(accountsDatabase, watched.fault(accountsDatabase))
	health.Set(viewsDatabase, watched.fault(viewsDatabase))
	probes := process.Probes{Health: cfg.healthAddress, Metrics: cfg.healthAddress, Flags: "--health-address"}
	stopProbes, err := probes.Serve(health, counters.Handler(), log)
	if err != nil {
		return err
	}
	defer stopProbes()
	counts := quarters.New(views, time.Now, log)
	api := httpapi.New(httpapi.Config{
		Accounts: db, Keys: cfg.keys, Proxies: cfg.proxies, SessionLifetime: cfg.sessionLifetime,
		SessionIdle: cfg.sessionIdle, IsPrepared: watched.hasPrepared, Metrics: counters, Now: time.Now, Log: log,
		Views: views, Quarters: counts, Clients: cfg.clients, Namespaces: cfg.namespaces, Class: cfg.class,
		Cluster: live,
	})
	listener, err := net.Listen("tcp", cfg.listenAddress)
	if err != nil {
		return fmt.Errorf("%w. Change --listen-address", err)
	}
	health.Set("server", func() string {
		if ctx.Err() != nil {
			return "stopping"
		}
		return ""
	})
	log.Info("serving the API", "address", listener.Addr().String(), "tls", cfg.certificates != nil,
		"clientCertificates", cfg.clientCA != "", "version", version.String())
	return runAll(ctx, watched.run, live.Run, api.Run, counts.Run,
		func(ctx context.Context) error { return serveAPI(ctx, cfg, listener, api, log) },
		func(ctx context.Context) error { return reload(ctx, cfg, log) },
		func(ctx context.Context) error { return clean(ctx, db, watched, cfg.auditRetention, log) },
	)
}

// preparation returns a function that migrates the accounts and creates the first user. Once that is done, it checks
// that the users can be read.
func preparation(db *accounts.DB, cfg config, terminal *os.File, log *slog.Logger) func(context.Context) error {
	isDone := false
	return func(ctx context.Context) error {
		if isDone {
			_, err := db.Users.Exist(ctx)
			return err
		}
		if err := db.Migrate(ctx); err != nil {
			return withHint(err, "KONTROLER_AUTH_DATABASE_URL and DATABASE_URL")
		}
		err := createFirstUser(ctx, db, cfg.adminPasswordFile, terminal, log)
		isDone = err == nil
		return err
	}
}

// withHint adds the settings to check to an error that does not name a remedy, such as that for a wrong password.
func withHint(err error, settings string) error {
	_, isContract := errors.AsType[*view.ContractError](err)
	if !isBroken(err) || isContract || isHopeless(err) || errors.Is(err, accounts.ErrForbidden) {
		return err
	}
	return fmt.Errorf("%w. Check %s", err, settings)
}

// runAll runs functions until ctx ends or one of them returns an error, and waits until all have returned.
func runAll(ctx context.Context, functions ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, run := range functions {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serveAPI serves until ctx ends. Then it waits up to drainTimeout for the requests in progress.
func serveAPI(ctx context.Context, cfg config, listener net.Listener, api http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: api, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, DisableGeneralOptionsHandler: true,
		// net/http logs faults of clients here, before a request is complete
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if cfg.certificates != nil {
		server.TLSConfig = cfg.certificates.serverConfig()
	}
	ended := make(chan error, 1)
	go func() {
		if cfg.certificates != nil {
			ended <- server.ServeTLS(listener, "", "")
		} else {
			ended <- server.Serve(listener)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving the API: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		log.Warn("closing connections whose requests have not ended", "after", drainTimeout.String())
		return server.Close()
	}
	return nil
}

// reload reads the files of keys and TLS again when they change, until ctx ends. While a file is faulty, its old
// content stays in use.
func reload(ctx context.Context, cfg config, log *slog.Logger) error {
	files := map[string]func() (bool, error){"--jwt-key-file": cfg.keys.Reload}
	if cfg.certificates != nil {
		files["--tls-cert"] = cfg.certificates.reload
	}
	said := map[string]string{}
	each(ctx, reloadEvery, func() {
		for flag, load := range files {
			hasChanged, err := load()
			switch {
			case err != nil && said[flag] != err.Error():
				log.Error("a file has changed and is faulty; its old content stays in use", "flag", flag, "error", err)
				said[flag] = err.Error()
			case err == nil:
				delete(said, flag)
			}
			if hasChanged {
				log.Info("read a file that has changed", "flag", flag)
			}
		}
	})
	return nil
}

// clean periodically removes expired sessions and tokens, and old rows of the audit, until ctx ends.
func clean(ctx context.Context, db *accounts.DB, m *monitor, retention time.Duration, log *slog.Logger) error {
	each(ctx, cleanEvery, func() {
		if !m.hasPrepared() {
			return
		}
		if err := db.Clean(ctx, time.Now(), retention); err != nil && ctx.Err() == nil {
			log.Warn("removing expired rows failed", "error", err)
		}
	})
	return nil
}

// each calls do at every interval until ctx ends.
func each(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}
