//! The grammar's small parts: tokens, white space, lists, lines, field lines (RFC 9110 §5.6, RFC 9112 §5).

use memchr::memchr;
use std::ops::Range;

use super::HeadError;

/// `tchar` of RFC 9110 §5.6.2.
const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether `byte` may stand in a token.
pub fn is_tchar(byte: u8) -> bool {
    TCHAR[usize::from(byte)]
}

/// Whether `bytes` is a token.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

/// Elements of a comma list, trimmed, empty ones left out (RFC 9110 §5.6.1.2).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Without optional white space (SP, HTAB) at both ends.
pub fn trim(value: &[u8]) -> &[u8] {
    &value[trimmed(value)]
}

fn trimmed(value: &[u8]) -> Range<usize> {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = value.iter().position(is_text).unwrap_or(value.len());
    let end = value.iter().rposition(is_text).map_or(start, |last| last + 1);
    start..end
}

/// What no line may hold: C0 controls except HTAB, and DEL.
fn is_control(byte: u8) -> bool {
    byte != b'\t' && byte.is_ascii_control()
}

/// Whether one of them is there.
pub fn has_control(bytes: &[u8]) -> bool {
    // Without an early exit the loop is vectorised, and values are short.
    bytes.iter().fold(false, |found, &byte| found | is_control(byte))
}

/// The more telling error for a malformed line: its first control byte if it has one, else `otherwise`.
#[cold]
pub fn blame(line: &[u8], otherwise: HeadError) -> HeadError {
    match line.iter().find(|&&byte| is_control(byte)) {
        Some(0) => HeadError::Nul,
        Some(b'\r') => HeadError::BareCr,
        Some(b'\n') => HeadError::BareLf,
        Some(_) => HeadError::ControlByte,
        None => otherwise,
    }
}

/// How lines end in one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// CRLF, the only one for requests.
    CrLf,
    /// A bare LF throughout; responses only.
    Lf,
}

impl LineEnd {
    /// Takes the line end off `line`, which is all before a LF.
    pub fn strip(self, line: &[u8]) -> Result<&[u8], HeadError> {
        match (self, line.strip_suffix(b"\r")) {
            (Self::CrLf, Some(text)) => Ok(text),
            (Self::Lf, None) => Ok(line),
            _ => Err(HeadError::BareLf),
        }
    }
}

/// Cuts the first line off `bytes`: the line without its LF, and the rest.
pub fn split_line(bytes: &[u8]) -> Result<(&[u8], &[u8]), HeadError> {
    let lf = memchr(b'\n', bytes).ok_or(HeadError::Incomplete)?;
    Ok((&bytes[..lf], &bytes[lf + 1..]))
}

/// A field line taken apart: ranges into the line.
pub struct FieldLine {
    pub name: Range<usize>,
    pub value: Range<usize>,
}

/// Takes a field line apart. `lenient` removes white space before the colon, as RFC 9112 §5.1 has proxies do with
/// responses.
pub fn field_line(line: &[u8], lenient: bool) -> Result<FieldLine, HeadError> {
    let name = line.iter().position(|&byte| !is_tchar(byte)).unwrap_or(line.len());
    let colon = match line.get(name) {
        Some(b':') if name > 0 => name,
        _ => odd_colon(line, name, lenient)?,
    };
    let text = &line[colon + 1..];
    if has_control(text) {
        return Err(blame(text, HeadError::ControlByte));
    }
    let value = trimmed(text);
    Ok(FieldLine { name: 0..name, value: colon + 1 + value.start..colon + 1 + value.end })
}

/// The colon's place in a line whose first `name` bytes, all of its leading token, are not followed by one.
#[cold]
fn odd_colon(line: &[u8], name: usize, lenient: bool) -> Result<usize, HeadError> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(blame(line, HeadError::ObsFold));
    }
    let space = line[name..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let colon = name + space;
    if space > 0 && name > 0 && line.get(colon) == Some(&b':') {
        return if lenient { Ok(colon) } else { Err(HeadError::SpaceBeforeColon) };
    }
    let missing = if memchr(b':', line).is_none() { HeadError::NoColon } else { HeadError::FieldName };
    Err(blame(line, missing))
}
