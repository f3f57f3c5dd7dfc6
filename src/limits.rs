//! Every deadline and every bound, as plain data with the documented defaults (promises P21 to P25).
//!
//! Uses nothing of ours and reads nothing: `config` fills it from a file, everything else takes it by reference.
//! Durations are microseconds, as everywhere inside Tollgate; sizes are bytes.

/// Microseconds of the monotonic clock or of a duration.
pub type Micros = u64;

/// One second in [`Micros`].
pub const SECOND: Micros = 1_000_000;

/// The two clocks, read once per reactor turn and handed down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds since the reactor's own start; never goes back. Deadlines and durations use it.
    pub mono: Micros,
    /// Unix microseconds; may jump. Records and certificates use it.
    pub wall: i64,
}

/// How long each stage may take, counted from its start; single bytes do not extend it (P21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to a whole ClientHello or the first byte of a head.
    pub hello: Micros,
    /// TLS handshake with the guest, from the whole ClientHello.
    pub handshake: Micros,
    /// A request head, from its first byte; a CONNECT head and the wait for the first request too.
    pub head: Micros,
    /// Idle wait for the next request on a connection that has served one.
    pub keep_alive: Micros,
    /// Name resolution.
    pub dns: Micros,
    /// TCP connect to the origin, all addresses together.
    pub connect: Micros,
    /// TLS handshake with the origin.
    pub tls: Micros,
    /// From the whole request sent to the first byte of the response.
    pub first_byte: Micros,
    /// Longest silence inside a body, either way.
    pub body: Micros,
    /// How long running exchanges may go on after SIGTERM.
    pub drain: Micros,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            hello: 10 * SECOND,
            handshake: 10 * SECOND,
            head: 10 * SECOND,
            keep_alive: 60 * SECOND,
            dns: 5 * SECOND,
            connect: 10 * SECOND,
            tls: 10 * SECOND,
            first_byte: 300 * SECOND,
            body: 120 * SECOND,
            drain: 10 * SECOND,
        }
    }
}

/// Bounds on sizes and counts (P22 to P25).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A ClientHello, record headers included.
    pub hello: usize,
    /// Method, target and version of a request (414 past it).
    pub request_line: usize,
    /// All header fields of a head together (431 past it).
    pub header_block: usize,
    /// How many header fields a head may have (431 past it).
    pub header_fields: usize,
    /// One chunk-size line, extensions included.
    pub chunk_line: usize,
    /// A trailer section.
    pub trailers: usize,
    /// A response head, status line included (502 past it).
    pub response_head: usize,
    /// Interim (1xx) responses before the final one (502 past it).
    pub interim: u32,
    /// Memory that inspection of one stream may hold.
    pub inspect: usize,
    /// Guest connections open at once, all reactors together; past it accepting pauses.
    pub connections: usize,
    /// Bytes buffered by all connections together; past it new connections wait in the backlog.
    pub memory: usize,
    /// Idle origin connections kept per origin and reactor.
    pub pool_per_origin: usize,
    /// Idle origin connections kept in total per reactor.
    pub pool_total: usize,
    /// How long an idle origin connection is kept, in [`Micros`].
    pub pool_idle: Micros,
    /// Certificates kept in the leaf cache.
    pub leaf_cache: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hello: 64 << 10,
            request_line: 16 << 10,
            header_block: 64 << 10,
            header_fields: 256,
            chunk_line: 256,
            trailers: 8 << 10,
            response_head: 64 << 10,
            interim: 32,
            inspect: 1 << 20,
            connections: 65_536,
            memory: 1 << 30,
            pool_per_origin: 64,
            pool_total: 512,
            pool_idle: 30 * SECOND,
            leaf_cache: 1024,
        }
    }
}
