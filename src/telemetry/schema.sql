-- The ledger's public interface: table and column names that users and tools query.
-- More columns and indexes may be added; these keep their names and meaning. PRAGMA user_version counts migrations:
-- this file is version 1, and the files in schema/ lead to later ones.
-- Times are Unix microseconds (INTEGER), durations microseconds, sizes bytes, money pico-USD (1e-12). NULL means unknown, never 0.

CREATE TABLE sessions (
  session_id     TEXT PRIMARY KEY,
  name           TEXT,
  command        TEXT,                 -- `run`: argv as a JSON array
  started_at     INTEGER NOT NULL,
  ended_at       INTEGER,
  version        TEXT NOT NULL,        -- of tollgate
  policy_digest  TEXT NOT NULL
) STRICT;

CREATE TABLE net_events (              -- one row per request, and per connection that ended before a request was read
  exchange_id     INTEGER PRIMARY KEY,
  session_id      TEXT NOT NULL REFERENCES sessions,
  connection_id   INTEGER NOT NULL,
  started_at      INTEGER NOT NULL,
  listener        TEXT NOT NULL,       -- tcp://127.0.0.1:8080, unix://…, vsock://…
  client          TEXT,                -- peer address, vsock CID, or what PROXY v2 said
  process_name    TEXT, process_id INTEGER, user_id INTEGER,
  scheme          TEXT NOT NULL,       -- https http wss ws tls tcp
  protocol        TEXT,                -- h1 h2 ws opaque
  host            TEXT, port INTEGER,
  dialed          TEXT,                -- address and port connected to
  method          TEXT, path TEXT, query TEXT,   -- secrets in the query are redacted
  decision        TEXT NOT NULL CHECK (decision IN ('allowed','denied','failed','aborted','spliced')),
  rule            TEXT, rule_layer TEXT, reason TEXT,
  fault_phase     TEXT,                -- greet hello handshake head dns connect tls first_byte body
  fault           TEXT,
  status          INTEGER,             -- what the guest was sent
  request_bytes   INTEGER NOT NULL DEFAULT 0, response_bytes INTEGER NOT NULL DEFAULT 0,   -- bodies as on the wire
  response_decoded INTEGER,            -- body after content decoding, where inspected
  request_headers TEXT, response_headers TEXT,    -- JSON arrays of [name, value], secrets hashed
  request_preview BLOB, response_preview BLOB,
  tap             TEXT,                -- NULL: complete or none wanted; else why inspection stopped
  dns_us INTEGER, connect_us INTEGER, tls_us INTEGER, first_byte_us INTEGER, total_us INTEGER NOT NULL,
  websocket       TEXT                 -- JSON: close codes and message counts, where the exchange became a WebSocket
) STRICT;

CREATE TABLE model_calls (             -- one row per model run; a WebSocket exchange may have many
  call_id         INTEGER PRIMARY KEY,
  exchange_id     INTEGER NOT NULL REFERENCES net_events,
  session_id      TEXT NOT NULL,
  started_at      INTEGER NOT NULL,
  provider        TEXT NOT NULL,       -- anthropic openai google mistral … other
  api             TEXT NOT NULL,       -- anthropic.messages openai.chat openai.responses google.generate ollama.chat …
  model_requested TEXT, model TEXT,    -- asked for; answered
  response_id     TEXT,
  stream          INTEGER NOT NULL,
  messages_count  INTEGER, tools_count INTEGER, system_bytes INTEGER,
  input_tokens    INTEGER,             -- all input, cache reads and writes included
  cache_read_tokens INTEGER,
  cache_write_tokens INTEGER, cache_write_5m_tokens INTEGER, cache_write_1h_tokens INTEGER,
  output_tokens   INTEGER,             -- all output, reasoning included
  reasoning_tokens INTEGER,
  usage           TEXT,                -- the provider's own usage object, as last sent (JSON)
  usage_state     TEXT NOT NULL CHECK (usage_state IN ('final','partial','none')),
  stop_reason     TEXT,                -- as the provider said it
  service_tier    TEXT,
  error_type      TEXT, error_message TEXT,
  cost_pico_usd   INTEGER, price_version TEXT,
  first_token_us  INTEGER, total_us INTEGER NOT NULL
) STRICT;

CREATE TABLE tool_calls (              -- asked for by the model
  call_id INTEGER NOT NULL REFERENCES model_calls, position INTEGER NOT NULL,
  tool_call_id TEXT, name TEXT NOT NULL, arguments TEXT,
  PRIMARY KEY (call_id, position)
) STRICT;

CREATE TABLE tool_results (            -- answered by the client in this request (trailing ones only)
  call_id INTEGER NOT NULL REFERENCES model_calls, position INTEGER NOT NULL,
  tool_call_id TEXT, is_error INTEGER, preview TEXT,
  PRIMARY KEY (call_id, position)
) STRICT;

CREATE TABLE upstream_errors (         -- 4xx and 5xx answers, errors inside a 200 stream, and failures to reach the origin
  error_id INTEGER PRIMARY KEY, exchange_id INTEGER NOT NULL REFERENCES net_events, at INTEGER NOT NULL,
  phase TEXT NOT NULL, status INTEGER, type TEXT, code TEXT, message TEXT, retry_after_us INTEGER, request_id TEXT
) STRICT;

CREATE TABLE dns_events (
  dns_id INTEGER PRIMARY KEY, session_id TEXT NOT NULL, at INTEGER NOT NULL, client TEXT, process_name TEXT, process_id INTEGER,
  name TEXT NOT NULL, type TEXT NOT NULL, decision TEXT NOT NULL, rule TEXT, rcode TEXT, answers TEXT, total_us INTEGER
) STRICT;

CREATE TABLE dropped (                 -- losses, counted; empty in a healthy ledger
  at INTEGER NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, why TEXT NOT NULL
) STRICT;

CREATE TABLE commits (                 -- one row per batch that was written: what is new, in order; the cursor of followers and exports
  commit_id  INTEGER PRIMARY KEY,
  at         INTEGER NOT NULL,
  net_events TEXT NOT NULL             -- JSON array of [first, last]: the exchange ids that came, in ascending ranges
) STRICT;

CREATE TABLE id_blocks (               -- exchange and connection ids set aside for one session: first_id up to, not including, end_id
  first_id INTEGER PRIMARY KEY, end_id INTEGER NOT NULL, session_id TEXT NOT NULL
) STRICT;

CREATE TABLE cursors (                 -- how far an export has read
  name TEXT NOT NULL, source TEXT NOT NULL, position TEXT NOT NULL,
  PRIMARY KEY (name, source)
) STRICT;

-- model_calls and upstream_errors join on the exchange; usage is asked for by time. net_events has no index: rows are
-- in order of their ids, which is nearly that of time, and each index would cost every request.
CREATE INDEX model_calls_exchange ON model_calls (exchange_id);
CREATE INDEX model_calls_started ON model_calls (started_at);
CREATE INDEX upstream_errors_exchange ON upstream_errors (exchange_id);
