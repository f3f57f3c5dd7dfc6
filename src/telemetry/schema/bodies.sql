-- Version 3: bodies, where [telemetry] bodies asks for them. Those of exchanges are kept as text, content codings undone
-- and secrets hashed; what is no text is not kept. request_preview and response_preview hold the first bytes.

ALTER TABLE net_events ADD COLUMN request_cut INTEGER;    -- 0: the body is kept whole; 1: its start is; NULL: nothing is
ALTER TABLE net_events ADD COLUMN response_cut INTEGER;

CREATE TABLE bodies (                  -- with bodies = "full": what is longer than its preview
  exchange_id INTEGER PRIMARY KEY REFERENCES net_events,
  request BLOB, response BLOB
) STRICT;
