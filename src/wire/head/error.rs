//! Why a head was refused: one word per rule, with the status that a guest is told.

/// Why a head is not read. For a response the caller answers 502, whatever [`HeadError::status`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant's label says it")]
pub enum HeadError {
    RequestLineTooLong,
    HeaderBlockTooLarge,
    TooManyFields,
    EmptyLines,
    BareLf,
    BareCr,
    Nul,
    ControlByte,
    RequestLine,
    Method,
    MethodTooLong,
    Target,
    Fragment,
    Scheme,
    Userinfo,
    Authority,
    AsteriskForm,
    AuthorityForm,
    Version,
    VersionUnsupported,
    StatusLine,
    NoColon,
    FieldName,
    SpaceBeforeColon,
    ObsFold,
    NoHost,
    TwoHosts,
    Host,
    HostMismatch,
    ContentLength,
    TwoContentLengths,
    FramingLookalike,
    TransferEncoding,
    TransferEncodingTwice,
    TransferEncodingUnknown,
    TransferEncodingInHttp10,
    LengthAndTransferEncoding,
    BodyOnConnect,
    Expectation,
    ConnectionOptions,
    MaxForwards,
    Incomplete,
}

impl HeadError {
    /// The status for a guest whose request this is: 400, 414, 417, 421, 431, 501 or 505.
    pub fn status(self) -> u16 {
        match self {
            Self::RequestLineTooLong => 414,
            Self::Expectation => 417,
            Self::HostMismatch => 421,
            Self::HeaderBlockTooLarge | Self::TooManyFields => 431,
            Self::MethodTooLong | Self::TransferEncodingUnknown => 501,
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }

    /// What is wrong, in words fit for an answer and for the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestLineTooLong => "request line too long",
            Self::HeaderBlockTooLarge => "header block too large",
            Self::TooManyFields => "too many header fields",
            Self::EmptyLines => "too many empty lines before the head",
            Self::BareLf => "line feed without carriage return",
            Self::BareCr => "carriage return without line feed",
            Self::Nul => "NUL byte",
            Self::ControlByte => "control byte",
            Self::RequestLine => "malformed request line",
            Self::StatusLine => "malformed status line",
            Self::Incomplete => "head without its end",
            _ => self.target_str(),
        }
    }

    fn target_str(self) -> &'static str {
        match self {
            Self::Method => "method is no token",
            Self::MethodTooLong => "method longer than any known",
            Self::Target => "illegal byte in the request target",
            Self::Fragment => "fragment in the request target",
            Self::Scheme => "target is no path and no http or https URL",
            Self::Userinfo => "userinfo in an authority",
            Self::Authority => "malformed authority",
            Self::AsteriskForm => "asterisk with a method other than OPTIONS",
            Self::AuthorityForm => "CONNECT and host:port belong together",
            Self::Version => "malformed HTTP version",
            Self::VersionUnsupported => "HTTP version not supported",
            _ => self.field_str(),
        }
    }

    fn field_str(self) -> &'static str {
        match self {
            Self::NoColon => "header line without a colon",
            Self::FieldName => "header name is no token",
            Self::SpaceBeforeColon => "white space before the colon",
            Self::ObsFold => "folded header line",
            Self::NoHost => "no Host field",
            Self::TwoHosts => "two Host fields",
            Self::Host => "malformed Host field",
            Self::HostMismatch => "Host differs from the request target",
            Self::Expectation => "unknown expectation",
            Self::ConnectionOptions => "too many Connection options",
            Self::MaxForwards => "malformed Max-Forwards",
            _ => self.framing_str(),
        }
    }

    fn framing_str(self) -> &'static str {
        match self {
            Self::ContentLength => "malformed Content-Length",
            Self::TwoContentLengths => "two Content-Lengths",
            Self::FramingLookalike => "header name that could be taken for a framing field",
            Self::TransferEncoding => "malformed Transfer-Encoding",
            Self::TransferEncodingTwice => "two Transfer-Encodings",
            Self::TransferEncodingUnknown => "unknown transfer coding",
            Self::TransferEncodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            Self::LengthAndTransferEncoding => "Content-Length with Transfer-Encoding",
            _ => "body on CONNECT",
        }
    }
}

impl std::fmt::Display for HeadError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::error::Error for HeadError {}
