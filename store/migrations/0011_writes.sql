-- A write that is one statement checks itself: its transaction ends with it, so nobody could roll it back afterwards.
-- oldest-compatible: 1

-- Fails if the epoch is another leader's, or if guards have kept a statement from writing all of its rows.
CREATE FUNCTION kontroler.check_write(epoch bigint, own_epoch bigint, written bigint, expected bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF epoch IS DISTINCT FROM own_epoch THEN
        RAISE EXCEPTION 'the epoch is %, this leader''s is %', coalesce(epoch::text, 'missing'), own_epoch
            USING ERRCODE = 'KT001';
    ELSIF written <> expected THEN
        RAISE EXCEPTION '% of % rows matched', written, expected USING ERRCODE = 'KT002';
    END IF;
END $$;
