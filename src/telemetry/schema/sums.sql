-- Version 5: sums beside the rows, so that a question about usage reads one row for thousands of calls.
--
-- A segment is a stretch of rows whose ids follow each other, and its sums say what reading them would. Not every row is
-- in one: what is not is read by itself. Segments do not overlap. Whatever deletes or changes a row, by hand too, takes its
-- segment away: the triggers are for those who write to the file by hand, the writer does without them.

CREATE TABLE call_segments (           -- model_calls from first_call to last_call
  first_call INTEGER PRIMARY KEY, last_call INTEGER NOT NULL,
  earliest   INTEGER NOT NULL, latest INTEGER NOT NULL     -- started_at of its rows
) STRICT;

CREATE TABLE call_sums (               -- what adds up of a segment's calls that are alike in what is named here
  first_call INTEGER NOT NULL REFERENCES call_segments, position INTEGER NOT NULL,
  session_id TEXT NOT NULL, day INTEGER NOT NULL,    -- day since 1970-01-01, UTC
  provider TEXT NOT NULL, model TEXT, model_requested TEXT, host TEXT, process_name TEXT,
  calls INTEGER NOT NULL, failed INTEGER NOT NULL, partial INTEGER NOT NULL, unpriced INTEGER NOT NULL,
  input_tokens INTEGER, cache_read_tokens INTEGER, cache_write_tokens INTEGER, output_tokens INTEGER,
  reasoning_tokens INTEGER, cost_pico_usd INTEGER,
  both_cache_read REAL NOT NULL, both_input REAL NOT NULL,    -- of the calls that say both
  first_tokens BLOB NOT NULL,          -- histogram of first_token_us
  PRIMARY KEY (first_call, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE request_segments (        -- the net_events of commits from first_commit to last_commit
  first_commit   INTEGER PRIMARY KEY, last_commit INTEGER NOT NULL,
  earliest       INTEGER NOT NULL, latest INTEGER NOT NULL,
  first_exchange INTEGER NOT NULL, last_exchange INTEGER NOT NULL  -- lowest and highest of their ids
) STRICT;

CREATE TABLE request_sums (
  first_commit INTEGER NOT NULL REFERENCES request_segments, position INTEGER NOT NULL,
  session_id TEXT NOT NULL, host TEXT, decision TEXT NOT NULL, requests INTEGER NOT NULL,
  PRIMARY KEY (first_commit, position)
) STRICT, WITHOUT ROWID;

-- No net_event of the commit began later. For older commits clocks are trusted to ten minutes.
ALTER TABLE commits ADD COLUMN latest INTEGER NOT NULL DEFAULT 9223372036854775807;
UPDATE commits SET latest = at + 600000000;
CREATE INDEX commits_latest ON commits (latest);

-- The highest exchange of the block of which something was forgotten or changed: a segment that is still growing looks
-- here before it is written.
ALTER TABLE id_blocks ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;

CREATE INDEX request_segments_exchange ON request_segments (first_exchange);

CREATE TRIGGER call_segment_gone AFTER DELETE ON call_segments BEGIN
  DELETE FROM call_sums WHERE first_call = OLD.first_call;
END;

CREATE TRIGGER request_segment_gone AFTER DELETE ON request_segments BEGIN
  DELETE FROM request_sums WHERE first_commit = OLD.first_commit;
END;

-- What is to be done about a call, a request or a commit that is put in, changed or deleted by hand: the triggers below put
-- it into one of these views.

CREATE VIEW touched_calls AS SELECT call_id, exchange_id FROM model_calls;
CREATE TRIGGER touched_call INSTEAD OF INSERT ON touched_calls BEGIN
  DELETE FROM call_segments WHERE last_call >= NEW.call_id
    AND first_call = (SELECT max(first_call) FROM call_segments WHERE first_call <= NEW.call_id);
  UPDATE id_blocks SET touched = NEW.exchange_id WHERE touched < NEW.exchange_id
    AND first_id = (SELECT max(first_id) FROM id_blocks WHERE first_id <= NEW.exchange_id);
END;

CREATE VIEW touched_exchanges AS SELECT exchange_id FROM net_events;
CREATE TRIGGER touched_exchange INSTEAD OF INSERT ON touched_exchanges BEGIN
  INSERT INTO touched_calls SELECT call_id, exchange_id FROM model_calls WHERE exchange_id = NEW.exchange_id;
  DELETE FROM request_segments WHERE first_exchange <= NEW.exchange_id AND last_exchange >= NEW.exchange_id;
  UPDATE id_blocks SET touched = NEW.exchange_id WHERE touched < NEW.exchange_id
    AND first_id = (SELECT max(first_id) FROM id_blocks WHERE first_id <= NEW.exchange_id);
END;

CREATE VIEW touched_commits AS SELECT commit_id FROM commits;
CREATE TRIGGER touched_commit INSTEAD OF INSERT ON touched_commits BEGIN
  DELETE FROM request_segments WHERE last_commit >= NEW.commit_id
    AND first_commit = (SELECT max(first_commit) FROM request_segments WHERE first_commit <= NEW.commit_id);
END;

CREATE TRIGGER model_call_added AFTER INSERT ON model_calls
  BEGIN INSERT INTO touched_calls VALUES (NEW.call_id, NEW.exchange_id); END;
CREATE TRIGGER model_call_changed AFTER UPDATE ON model_calls
  BEGIN INSERT INTO touched_calls VALUES (OLD.call_id, OLD.exchange_id); END;
CREATE TRIGGER model_call_deleted AFTER DELETE ON model_calls
  BEGIN INSERT INTO touched_calls VALUES (OLD.call_id, OLD.exchange_id); END;
CREATE TRIGGER net_event_added AFTER INSERT ON net_events
  BEGIN INSERT INTO touched_exchanges VALUES (NEW.exchange_id); END;
CREATE TRIGGER net_event_changed AFTER UPDATE ON net_events
  BEGIN INSERT INTO touched_exchanges VALUES (OLD.exchange_id); END;
CREATE TRIGGER net_event_deleted AFTER DELETE ON net_events
  BEGIN INSERT INTO touched_exchanges VALUES (OLD.exchange_id); END;
CREATE TRIGGER commit_added AFTER INSERT ON commits
  BEGIN INSERT INTO touched_commits VALUES (NEW.commit_id); END;
CREATE TRIGGER commit_changed AFTER UPDATE ON commits
  BEGIN INSERT INTO touched_commits VALUES (OLD.commit_id); END;
CREATE TRIGGER commit_deleted AFTER DELETE ON commits
  BEGIN INSERT INTO touched_commits VALUES (OLD.commit_id); END;
