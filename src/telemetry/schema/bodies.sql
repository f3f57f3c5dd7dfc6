-- Version 3: bodies, and ids that are never given twice.

-- Bodies are kept where [telemetry] bodies asks for them: as text, content codings undone and secrets hashed; what is no
-- text is not kept. request_preview and response_preview hold the first bytes.

ALTER TABLE net_events ADD COLUMN request_cut INTEGER;    -- 0: the body is kept whole; 1: its start is; NULL: nothing is
ALTER TABLE net_events ADD COLUMN response_cut INTEGER;

CREATE TABLE bodies (                  -- with bodies = "full": what is longer than its preview
  exchange_id INTEGER PRIMARY KEY REFERENCES net_events,
  request BLOB, response BLOB
) STRICT;

CREATE TABLE last_ids (                -- the highest id that a table had when rows were last forgotten: the next is higher,
  source TEXT PRIMARY KEY,             -- also where no row is left, so that a place to go on from stays one
  id     INTEGER NOT NULL
) STRICT;
