-- Version 2: which policy judged: one row for each that a session put into force, at its start and at each reload. A request is
-- judged by one that was in force at some moment between its start and its end.

CREATE TABLE policies (
  session_id TEXT NOT NULL REFERENCES sessions,
  at         INTEGER NOT NULL,         -- when it came into force
  digest     TEXT NOT NULL             -- of its meaning, as `policy check` prints it
) STRICT;
