-- A run whose version cannot be read is stopped for that; kontroler.changes is kept for two days, by day.
-- oldest-compatible: 1

-- An older binary goes on with such a stop and ends the run as Cancelled instead of Failed.
ALTER TABLE kontroler.runs DROP CONSTRAINT runs_stop_check;
ALTER TABLE kontroler.runs ADD CONSTRAINT runs_stop_check
    CHECK (stop IN ('', 'UserCancelled', 'Deleted', 'DeadlineExceeded', 'HistoryLost', 'VersionUnreadable'));

-- The partitions by day are made by binaries of this version; no rows move here, which could take long under a lock. A
-- partition of a whole month that an older binary made stays until its month is over. Older binaries make one where no
-- relation has its name, which fails where there are days: an empty table stands in its place.
COMMENT ON TABLE kontroler.changes IS 'What readers follow, for two days.';
