//! Turns events into rows: static SQL, one statement per table, every value bound in the order of the columns.
//!
//! Redaction happens here, so nothing that was not looked at can reach the file. Buffers are reused, and what is bound
//! already is not bound again: the session's id, nulls, and texts that an event shares with the one before.

use std::borrow::Cow;
use std::io::Write;
use std::net::SocketAddr;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, Result, ToSql};

use super::event::{
    BodyCopy, CallEvent, Client, DnsEvent, ErrorEvent, Event, HeadCopy, NetEvent, PolicyEvent, WebSocketFacts,
};
use super::redact::Redactor;
use super::schema;
use crate::model::usage::{Call, ToolCall, ToolResult};
use crate::wire::head::Method;

const NET: &str = "INSERT INTO net_events (session_id, exchange_id, connection_id, started_at, listener, client, \
    process_name, process_id, user_id, scheme, protocol, host, port, dialed, method, path, query, decision, rule, \
    rule_layer, reason, fault_phase, fault, status, request_bytes, response_bytes, response_decoded, \
    request_headers, response_headers, request_preview, response_preview, tap, dns_us, connect_us, tls_us, \
    first_byte_us, total_us, websocket, request_cut, response_cut, original) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const BODIES: &str = "INSERT INTO bodies (exchange_id, request, response) VALUES (?, ?, ?)";

const CALL: &str = "INSERT INTO model_calls (session_id, call_id, exchange_id, started_at, provider, api, model_requested, \
    model, response_id, stream, messages_count, tools_count, system_bytes, input_tokens, cache_read_tokens, \
    cache_write_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, usage, \
    usage_state, stop_reason, service_tier, error_type, error_message, cost_pico_usd, price_version, \
    first_token_us, total_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?)";

const TOOL_CALL: &str =
    "INSERT INTO tool_calls (call_id, position, tool_call_id, name, arguments) VALUES (?, ?, ?, ?, ?)";

const TOOL_RESULT: &str =
    "INSERT INTO tool_results (call_id, position, tool_call_id, is_error, preview) VALUES (?, ?, ?, ?, ?)";

const ERROR: &str = "INSERT INTO upstream_errors (error_id, exchange_id, at, phase, status, type, code, message, \
    retry_after_us, request_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const DNS: &str = "INSERT INTO dns_events (session_id, dns_id, at, client, process_name, process_id, name, type, decision, \
    rule, rcode, answers, total_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const POLICY: &str = "INSERT INTO policies (session_id, at, digest) VALUES (?, ?, ?)";

/// How many statements [`Rows`] keeps prepared.
pub(super) const STATEMENTS: usize = 12;

/// What is kept from batch to batch.
#[derive(Debug)]
pub(super) struct Scratch {
    redactor: Redactor,
    headers: bool,
    /// Most bytes of a body that its row holds itself.
    preview: usize,
    json: Vec<u8>,
    /// The address that was formatted last, and its text: most rows have the same.
    dialed: Option<(SocketAddr, String)>,
}

impl Scratch {
    pub(super) fn new(redactor: Redactor, headers: bool, preview: usize) -> Self {
        Self { redactor, headers, preview, json: Vec::with_capacity(4096), dialed: None }
    }

    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

/// Inserts the rows of one batch of events, which live for `'e`.
pub(super) struct Rows<'c, 's, 'e> {
    connection: &'c Connection,
    scratch: &'s mut Scratch,
    net: Prepared<'c, 'e>,
    bodies: Prepared<'c, 'e>,
    call: Prepared<'c, 'e>,
    tool_call: Prepared<'c, 'e>,
    tool_result: Prepared<'c, 'e>,
    error: Prepared<'c, 'e>,
    dns: Prepared<'c, 'e>,
    policy: Prepared<'c, 'e>,
    /// Id of the first call.
    first_call: Option<i64>,
    /// Ids of the next call, error and look-up, once one was written.
    next_call: Option<i64>,
    next_error: Option<i64>,
    next_dns: Option<i64>,
}

impl<'c, 's, 'e> Rows<'c, 's, 'e> {
    /// Takes the prepared statements from the connection's cache.
    pub(super) fn new(connection: &'c Connection, session: &str, scratch: &'s mut Scratch) -> Result<Self> {
        Ok(Self {
            connection,
            scratch,
            net: Prepared::of_session(connection, NET, session)?,
            bodies: Prepared::new(connection, BODIES)?,
            call: Prepared::of_session(connection, CALL, session)?,
            tool_call: Prepared::new(connection, TOOL_CALL)?,
            tool_result: Prepared::new(connection, TOOL_RESULT)?,
            error: Prepared::new(connection, ERROR)?,
            dns: Prepared::of_session(connection, DNS, session)?,
            policy: Prepared::of_session(connection, POLICY, session)?,
            first_call: None,
            next_call: None,
            next_error: None,
            next_dns: None,
        })
    }

    /// Id of the first call that was inserted; those of the others follow.
    pub(super) fn first_call(&self) -> Option<i64> {
        self.first_call
    }

    /// Inserts the row or rows of one event.
    pub(super) fn insert(&mut self, event: &'e Event) -> Result<()> {
        match event {
            Event::Net(event) => self.net(event),
            Event::Call(event) => self.call(event),
            Event::Error(event) => self.error(event),
            Event::Dns(event) => self.dns(event),
            Event::Policy(event) => self.policy(event),
        }
    }

    fn net(&mut self, event: &'e NetEvent) -> Result<()> {
        let Scratch { redactor, headers, preview, json, dialed } = &mut *self.scratch;
        let mut row = Row::new(&mut self.net);
        row.number(event.exchange_id)?.number(event.connection_id)?.put(event.started_at)?;
        row.shared(Some(&event.listener))?;
        row.client(&event.client)?.put(event.client.user_id)?;
        row.shared(Some(event.scheme))?
            .shared(event.protocol)?
            .shared(event.host.as_deref())?
            .put(event.port)?;
        row.put(event.dialed.map(|address| dialed_text(dialed, address)))?;
        row.shared(event.method.as_ref().map(Method::as_str))?;
        row.text(event.path.as_deref().map(|raw| redactor.path(raw)).as_deref())?;
        row.text(event.query.as_deref().map(|raw| redactor.query(raw)).as_deref())?;
        row.shared(Some(event.decision.as_str()))?.shared(event.rule.as_deref())?.shared(event.rule_layer)?;
        row.shared(event.reason.as_deref())?.put(event.fault_phase.map(super::event::Phase::as_str))?;
        row.put(event.fault.as_deref())?.put(event.status)?;
        row.number(event.request_bytes)?.number(event.response_bytes)?.count(event.response_decoded)?;
        for head in [&event.request_headers, &event.response_headers] {
            row.headers(head.as_ref().filter(|_| *headers), redactor, json)?;
        }
        let bodies = [event.request_body.as_ref(), event.response_body.as_ref()];
        for body in bodies {
            row.put(body.map(|body| redactor.body(&body.bytes, body.keep.min(*preview))))?;
        }
        row.put(event.tap.as_deref())?.count(event.dns_us)?.count(event.connect_us)?.count(event.tls_us)?;
        row.count(event.first_byte_us)?.number(event.total_us)?;
        row.websocket(event.websocket, json)?;
        for body in bodies {
            row.put(body.map(|body| body.cut))?;
        }
        row.put(event.original.map(|address| address.to_string()))?;
        row.insert()?;
        let long = bodies.map(|body| body.filter(|body| body.kept() > self.scratch.preview));
        if long == [None, None] { Ok(()) } else { self.bodies(event.exchange_id, long) }
    }

    /// Bodies that are longer than their previews.
    fn bodies(&mut self, exchange_id: u64, bodies: [Option<&BodyCopy>; 2]) -> Result<()> {
        let mut row = Row::new(&mut self.bodies);
        row.number(exchange_id)?;
        for body in bodies {
            row.put(body.map(|body| self.scratch.redactor.body(&body.bytes, body.keep)))?;
        }
        row.insert()
    }

    fn call(&mut self, event: &'e CallEvent) -> Result<()> {
        let redactor = &self.scratch.redactor;
        let Call { usage, .. } = &event.call;
        let call = &event.call;
        let call_id = taken(self.connection, &mut self.next_call, "model_calls", "call_id")?;
        self.first_call.get_or_insert(call_id);
        let mut row = Row::new(&mut self.call);
        row.put(call_id)?
            .number(event.exchange_id)?
            .put(event.started_at)?
            .put(call.provider)?
            .put(call.api)?;
        row.name(call.model_requested.as_deref(), redactor)?.name(call.model.as_deref(), redactor)?;
        row.put(&call.response_id)?.put(call.stream)?;
        row.count(call.messages_count)?.count(call.tools_count)?.count(call.system_bytes)?;
        row.count(usage.input)?.count(usage.cache_read)?.count(usage.cache_write)?;
        row.count(usage.cache_write_5m)?.count(usage.cache_write_1h)?;
        row.count(usage.output)?.count(usage.reasoning)?;
        row.put(&call.usage_json)?.put(call.usage_state.as_str())?;
        row.put(&call.stop_reason)?.put(&call.service_tier)?;
        row.name(call.error_type.as_deref(), redactor)?;
        row.searched(call.error_message.as_deref(), redactor)?;
        row.put(call.cost_pico_usd)?
            .put(&call.price_version)?
            .count(call.first_token_us)?
            .number(call.total_us)?;
        row.insert()?;
        if !call.tool_calls.is_empty() || !call.tool_results.is_empty() {
            self.tool_calls(call_id, &call.tool_calls)?;
            self.tool_results(call_id, &call.tool_results)?;
        }
        Ok(())
    }

    fn tool_calls(&mut self, call_id: i64, calls: &[ToolCall]) -> Result<()> {
        for (position, tool) in calls.iter().enumerate() {
            let mut row = Row::new(&mut self.tool_call);
            row.put(call_id)?.put(position as i64)?.put(&tool.id)?;
            row.name(Some(&tool.name), &self.scratch.redactor)?;
            row.searched(tool.arguments.as_deref(), &self.scratch.redactor)?;
            row.insert()?;
        }
        Ok(())
    }

    fn tool_results(&mut self, call_id: i64, results: &[ToolResult]) -> Result<()> {
        for (position, result) in results.iter().enumerate() {
            let mut row = Row::new(&mut self.tool_result);
            row.put(call_id)?.put(position as i64)?.put(&result.id)?.put(result.is_error)?;
            row.searched(result.preview.as_deref(), &self.scratch.redactor)?;
            row.insert()?;
        }
        Ok(())
    }

    fn error(&mut self, event: &'e ErrorEvent) -> Result<()> {
        let error = &event.error;
        let error_id = taken(self.connection, &mut self.next_error, "upstream_errors", "error_id")?;
        let mut row = Row::new(&mut self.error);
        row.put(error_id)?
            .number(event.exchange_id)?
            .put(event.at)?
            .put(event.phase.as_str())?
            .put(error.status)?;
        let redactor = &self.scratch.redactor;
        row.name(error.kind.as_deref(), redactor)?.name(error.code.as_deref(), redactor)?;
        row.searched(error.message.as_deref(), redactor)?;
        row.count(error.retry_after_us)?.put(&error.request_id)?;
        row.insert()
    }

    fn dns(&mut self, event: &'e DnsEvent) -> Result<()> {
        let dns_id = taken(self.connection, &mut self.next_dns, "dns_events", "dns_id")?;
        let mut row = Row::new(&mut self.dns);
        row.put(dns_id)?.put(event.at)?.client(&event.client)?.put(&event.name)?.put(&event.kind)?;
        row.shared(Some(event.decision.as_str()))?.shared(event.rule.as_deref())?;
        row.put(&event.rcode)?.put(&event.answers)?.count(event.total_us)?;
        row.insert()
    }

    fn policy(&mut self, event: &'e PolicyEvent) -> Result<()> {
        let mut row = Row::new(&mut self.policy);
        row.put(event.at)?.put(&*event.digest)?;
        row.insert()
    }
}

/// The next id of a table; looked up for the first row of a batch, which nobody else writes to meanwhile.
fn taken(connection: &Connection, next: &mut Option<i64>, table: &str, column: &str) -> Result<i64> {
    let id = match *next {
        Some(id) => id,
        None => schema::next_id(connection, table, column)?,
    };
    *next = Some(id + 1);
    Ok(id)
}

fn dialed_text(last: &mut Option<(SocketAddr, String)>, address: SocketAddr) -> &str {
    if last.as_ref().is_none_or(|(known, _)| *known != address) {
        *last = None;
    }
    &last.get_or_insert_with(|| (address, address.to_string())).1
}

/// A statement, and what its parameters are bound to.
struct Prepared<'c, 'e> {
    statement: CachedStatement<'c>,
    /// First parameter that each row binds.
    first: usize,
    /// The parameters that are null, by their bits.
    nulls: u64,
    /// Texts that events share, by parameter.
    shared: [Option<&'e str>; 64],
}

impl<'c> Prepared<'c, '_> {
    fn new(connection: &'c Connection, sql: &str) -> Result<Self> {
        // A statement comes from the cache with nothing bound.
        Ok(Self { statement: connection.prepare_cached(sql)?, first: 1, nulls: u64::MAX, shared: [None; 64] })
    }

    /// For tables whose first column is the session, which stays bound.
    fn of_session(connection: &'c Connection, sql: &str, session: &str) -> Result<Self> {
        let mut prepared = Self::new(connection, sql)?;
        prepared.statement.raw_bind_parameter(1, session)?;
        prepared.first = 2;
        Ok(prepared)
    }
}

/// Binds the values of one row in the order of the columns.
struct Row<'a, 'c, 'e> {
    prepared: &'a mut Prepared<'c, 'e>,
    next: usize,
}

impl<'a, 'c, 'e> Row<'a, 'c, 'e> {
    fn new(prepared: &'a mut Prepared<'c, 'e>) -> Self {
        let next = prepared.first;
        Self { prepared, next }
    }

    fn put(&mut self, value: impl ToSql) -> Result<&mut Self> {
        let value = value.to_sql()?;
        let bit = 1 << self.next;
        let is_null =
            matches!(value, ToSqlOutput::Borrowed(ValueRef::Null) | ToSqlOutput::Owned(Value::Null));
        if !is_null || self.prepared.nulls & bit == 0 {
            self.prepared.statement.raw_bind_parameter(self.next, value)?;
        }
        self.prepared.nulls = if is_null { self.prepared.nulls | bit } else { self.prepared.nulls & !bit };
        self.next += 1;
        Ok(self)
    }

    /// A text that is likely to be the very one of the event before.
    fn shared(&mut self, value: Option<&'e str>) -> Result<&mut Self> {
        let same = match (value, self.prepared.shared[self.next]) {
            (Some(value), Some(bound)) => std::ptr::eq(value, bound),
            _ => false,
        };
        if same {
            self.next += 1;
            return Ok(self);
        }
        self.prepared.shared[self.next] = value;
        self.put(value)
    }

    /// A count or an id: below 2^63 by what it counts.
    fn number(&mut self, value: u64) -> Result<&mut Self> {
        self.put(value as i64)
    }

    fn count(&mut self, value: Option<u64>) -> Result<&mut Self> {
        self.put(value.map(|value| value as i64))
    }

    /// Bytes from the wire as text; what is no UTF-8 becomes U+FFFD.
    fn text(&mut self, bytes: Option<&[u8]>) -> Result<&mut Self> {
        match bytes {
            Some(bytes) if bytes.is_ascii() => self.put(ToSqlOutput::Borrowed(ValueRef::Text(bytes))),
            Some(bytes) => self.put(String::from_utf8_lossy(bytes)),
            None => self.put(None::<i64>),
        }
    }

    /// Text from a guest or an origin, searched for secrets.
    fn searched(&mut self, value: Option<&str>, redactor: &Redactor) -> Result<&mut Self> {
        self.text(value.map(|text| redactor.text(text.as_bytes())).as_deref())
    }

    /// What should be a name, from a guest or an origin, searched for keys.
    fn name(&mut self, value: Option<&str>, redactor: &Redactor) -> Result<&mut Self> {
        self.put(value.map(|name| redactor.name(name)).as_deref())
    }

    fn client(&mut self, client: &'e Client) -> Result<&mut Self> {
        self.shared(client.address.as_deref())?.shared(client.process_name.as_deref())?.put(client.process_id)
    }

    fn headers(
        &mut self,
        head: Option<&HeadCopy>,
        redactor: &mut Redactor,
        json: &mut Vec<u8>,
    ) -> Result<&mut Self> {
        let Some(head) = head else { return self.put(None::<i64>) };
        json.clear();
        redactor.headers_json(head, json);
        self.put(ToSqlOutput::Borrowed(ValueRef::Text(json)))
    }

    fn websocket(&mut self, facts: Option<WebSocketFacts>, json: &mut Vec<u8>) -> Result<&mut Self> {
        let Some(facts) = facts else { return self.put(None::<i64>) };
        json.clear();
        let close = |code: Option<u16>| code.map_or("null".into(), |code| Cow::Owned(code.to_string()));
        write!(
            json,
            r#"{{"guest_close":{},"origin_close":{},"guest_messages":{},"origin_messages":{}}}"#,
            close(facts.guest_close),
            close(facts.origin_close),
            facts.guest_messages,
            facts.origin_messages
        )
        .expect("writing to memory does not fail");
        self.put(ToSqlOutput::Borrowed(ValueRef::Text(json)))
    }

    fn insert(self) -> Result<()> {
        debug_assert_eq!(self.next, self.prepared.statement.parameter_count() + 1);
        self.prepared.statement.raw_execute().map(drop)
    }
}
