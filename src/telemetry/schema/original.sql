-- Version 4: where guests' packets were going.

ALTER TABLE net_events ADD COLUMN original TEXT;   -- address and port by redirect, SOCKS or PROXY v2: recorded, never dialled
