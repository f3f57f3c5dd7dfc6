//! Real hellos, hellos built piece by piece, and everything that can be wrong with them.

use proptest::prelude::*;

use super::*;

const CAP: usize = 64 << 10;

/// A 1.4 KB hello with a post-quantum key share: rustls 0.23, `api.anthropic.com`, ALPN h2 and http/1.1.
const RUSTLS: &[u8] = include_bytes!("rustls_pq.bin");
/// rustls 0.23 with TLS 1.2 only, no ALPN.
const RUSTLS_TLS12: &[u8] = include_bytes!("rustls_tls12.bin");
/// `openssl s_client -servername example.org -alpn http/1.1` (3.0).
const OPENSSL: &[u8] = include_bytes!("openssl.bin");
/// `openssl s_client -servername 127.0.0.1`.
const OPENSSL_IP: &[u8] = include_bytes!("openssl_ip.bin");
/// `openssl s_client -tls1_1`.
const OPENSSL_TLS11: &[u8] = include_bytes!("openssl_tls11.bin");
/// `curl https://curl.example` (7.88).
const CURL: &[u8] = include_bytes!("curl.bin");

fn read(wire: &[u8]) -> Result<Option<Hello>, HelloError> {
    HelloReader::new(CAP).read(wire)
}

fn accept(wire: &[u8]) -> Hello {
    read(wire).expect("a valid hello").expect("a whole hello")
}

fn refusal(wire: &[u8]) -> HelloError {
    match read(wire) {
        Err(error) => error,
        Ok(hello) => panic!("accepted as {hello:?}"),
    }
}

/// Wraps a handshake message into records of at most `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|part| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat())
        .collect()
}

/// The handshake message of a hello that is one record.
fn message(wire: &[u8]) -> &[u8] {
    &wire[5..]
}

/// Prefixes with a length of `N` bytes.
fn long<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    [&bytes.len().to_be_bytes()[8 - N..], bytes].concat()
}

/// What a test varies in a hello.
struct Build {
    kind: u8,
    version: u16,
    session: Vec<u8>,
    suites: Vec<u8>,
    methods: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            kind: 1,
            version: 0x0303,
            session: vec![7; 32],
            suites: vec![0x13, 0x01],
            methods: vec![0],
            extensions: vec![sni(b"host.example"), versions(&[0x0a0a, 0x0304, 0x0303])],
        }
    }
}

impl Build {
    fn with(extensions: &[(u16, Vec<u8>)]) -> Self {
        Self { extensions: extensions.to_vec(), ..Self::default() }
    }

    fn body(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &long::<2>(body)].concat())
            .collect();
        [
            &self.version.to_be_bytes()[..],
            &[9; 32],
            &long::<1>(&self.session),
            &long::<2>(&self.suites),
            &long::<1>(&self.methods),
            &long::<2>(&extensions),
        ]
        .concat()
    }

    fn message(&self) -> Vec<u8> {
        [&[self.kind][..], &long::<3>(&self.body())].concat()
    }

    fn wire(&self) -> Vec<u8> {
        records(&self.message(), 1 << 14)
    }
}

fn names(list: &[&[u8]]) -> (u16, Vec<u8>) {
    let list: Vec<u8> = list.iter().flat_map(|name| [&[0][..], &long::<2>(name)].concat()).collect();
    (0, long::<2>(&list))
}

fn sni(name: &[u8]) -> (u16, Vec<u8>) {
    names(&[name])
}

fn alpn(list: &[&[u8]]) -> (u16, Vec<u8>) {
    (16, long::<2>(&list.iter().flat_map(|name| long::<1>(name)).collect::<Vec<_>>()))
}

fn versions(list: &[u16]) -> (u16, Vec<u8>) {
    (43, long::<1>(&list.iter().flat_map(|version| version.to_be_bytes()).collect::<Vec<_>>()))
}

#[test]
fn facts_of_real_hellos() {
    let hello = accept(RUSTLS);
    assert_eq!(hello.sni(), Some("api.anthropic.com"));
    assert!(
        hello.has_alpn && hello.offers_h2 && hello.offers_http11 && hello.tls12 && hello.tls13 && !hello.ech
    );
    assert_eq!(hello.wire_len, RUSTLS.len());
    let hello = accept(RUSTLS_TLS12);
    assert_eq!(hello.sni(), Some("api.openai.com"));
    assert!(!hello.has_alpn && !hello.offers_h2 && hello.tls12 && !hello.tls13);
    let hello = accept(OPENSSL);
    assert_eq!(hello.sni(), Some("example.org"));
    assert!(hello.has_alpn && !hello.offers_h2 && hello.offers_http11 && hello.tls13);
    let hello = accept(CURL);
    assert_eq!(hello.sni(), Some("curl.example"));
    assert!(hello.offers_h2 && hello.offers_http11);
}

#[test]
fn p1_a_hello_may_be_cut_into_segments_anywhere() {
    for wire in [RUSTLS, RUSTLS_TLS12, OPENSSL, CURL] {
        let mut reader = HelloReader::new(CAP);
        for end in 0..wire.len() {
            assert!(reader.read(&wire[..end]).expect("valid so far").is_none(), "whole at {end}");
        }
        assert!(reader.read(wire).expect("valid").is_some());
    }
}

#[test]
fn p1_lesson_35_a_hello_may_span_records_of_any_size() {
    for size in [1, 2, 5, 100, 1000] {
        let wire = records(message(RUSTLS), size);
        let hello = accept(&wire);
        assert_eq!(hello.sni(), Some("api.anthropic.com"));
        assert_eq!(hello.wire_len, wire.len(), "records of {size}");
    }
}

#[test]
fn p1_a_16_kib_hello_is_accepted_and_bytes_behind_it_are_left_alone() {
    let padding = |size| Build::with(&[sni(b"a.b"), versions(&[0x0304]), (21, vec![0; size])]);
    let size = (1 << 14) - padding(0).message().len();
    let mut wire = padding(size).wire();
    assert_eq!(wire.len(), 5 + (1 << 14));
    let whole = wire.len();
    wire.extend_from_slice(&[20, 3, 3, 0, 1, 1]);
    assert_eq!(accept(&wire).wire_len, whole);
}

#[test]
fn p1_the_cap_counts_wire_bytes() {
    let wire = OPENSSL;
    assert!(HelloReader::new(wire.len()).read(wire).expect("fits").is_some());
    assert_eq!(HelloReader::new(wire.len() - 1).read(wire).expect_err("over the cap"), HelloError::TooLarge);
    let huge = [22, 3, 1, 0, 4, 1, 1, 0, 0];
    assert_eq!(refusal(&huge), HelloError::TooLarge, "refused at its length already");
    let slow = records(&Build::with(&[(21, vec![0; 12 << 10])]).message(), 1);
    assert_eq!(refusal(&slow[..CAP]), HelloError::TooLarge);
    assert!(read(&slow[..CAP - 1]).expect("not yet").is_none());
}

#[test]
fn a_hello_without_name_or_extensions_is_fine() {
    assert_eq!(accept(&Build::with(&[versions(&[0x0304])]).wire()).sni(), None);
    let mut body = Build::with(&[]).body();
    body.truncate(body.len() - 2);
    let wire = records(&[&[1][..], &long::<3>(&body)].concat(), 1 << 14);
    let hello = accept(&wire);
    assert!(hello.tls12 && !hello.tls13 && !hello.has_alpn);
}

#[test]
fn names_are_kept_as_sent_and_ip_literals_dropped() {
    assert_eq!(accept(&Build::with(&[sni(b"EVIL.Test.")]).wire()).sni(), Some("EVIL.Test."));
    assert_eq!(accept(OPENSSL_IP).sni(), None);
    assert_eq!(accept(&Build::with(&[sni(b"::1")]).wire()).sni(), None);
}

#[test]
fn p5_alpn_is_told_exactly() {
    let offers = |list: &[&[u8]]| {
        let hello = accept(&Build::with(&[alpn(list)]).wire());
        (hello.has_alpn, hello.offers_h2, hello.offers_http11)
    };
    assert_eq!(offers(&[b"h2"]), (true, true, false));
    assert_eq!(offers(&[b"http/1.1", b"h2"]), (true, true, true));
    assert_eq!(offers(&[b"http/1.0", b"h2c", b"h", b"http/1.10", b"\x0a\x0a"]), (true, false, false));
}

#[test]
fn versions_are_told_by_the_extension_before_the_legacy_field() {
    let offers = |version, list: Option<&[u16]>| {
        let extensions = list.map(versions).into_iter().collect();
        read(&Build { version, extensions, ..Build::default() }.wire())
            .map(|hello| hello.map(|hello| (hello.tls12, hello.tls13)))
    };
    assert_eq!(offers(0x0303, None), Ok(Some((true, false))));
    assert_eq!(offers(0x0304, None), Ok(Some((true, false))), "a server would answer 1.2");
    assert_eq!(offers(0x0301, Some(&[0x0304])), Ok(Some((false, true))));
    assert_eq!(offers(0x0303, Some(&[0x0303])), Ok(Some((true, false))));
    assert_eq!(offers(0x0302, None), Err(HelloError::ProtocolVersion));
    assert_eq!(offers(0x0300, None), Err(HelloError::ProtocolVersion));
    assert_eq!(offers(0x0002, None), Err(HelloError::ProtocolVersion));
    assert_eq!(offers(0x0303, Some(&[0x0302, 0x0301, 0x1a1a])), Err(HelloError::ProtocolVersion));
    assert_eq!(refusal(OPENSSL_TLS11), HelloError::ProtocolVersion);
}

#[test]
fn encrypted_hello_is_noticed() {
    assert!(accept(&Build::with(&[sni(b"outer.example"), (0xfe0d, vec![0; 40])]).wire()).ech);
}

#[test]
fn p2_other_protocols_and_records_are_refused_at_once() {
    let cases: &[(&[u8], HelloError)] = &[
        (b"G", HelloError::NotTls),
        (&[0x05], HelloError::NotTls),
        (&[0x80, 0x2e, 1, 0, 2], HelloError::ProtocolVersion),
        (&[22, 2], HelloError::RecordVersion),
        (&[22, 3, 1, 0, 0], HelloError::EmptyRecord),
        (&[22, 3, 1, 0x40, 1], HelloError::RecordTooLong),
        (&[22, 3, 1, 0xff, 0xff], HelloError::RecordTooLong),
        (&[22, 3, 3, 0, 1, 2], HelloError::NotClientHello),
        (&[22, 3, 3, 0, 1, 1, 23], HelloError::NotHandshake),
        (&[23, 3, 3], HelloError::NotTls),
    ];
    for (wire, error) in cases {
        assert_eq!(refusal(wire), *error, "{wire:?}");
        assert!(
            wire.len() == 1 || read(&wire[..wire.len() - 1]).is_ok() || wire[0] & 0x80 != 0 || wire[0] == 23
        );
    }
}

#[test]
fn p2_malformed_hellos_are_refused() {
    let base = Build::default;
    let versions13 = || versions(&[0x0304]);
    let with = |extra: (u16, Vec<u8>)| Build::with(&[versions13(), extra]);
    let cases = [
        (Build { kind: 2, ..base() }, HelloError::NotClientHello),
        (Build { session: vec![0; 33], ..base() }, HelloError::BadLength),
        (Build { suites: vec![], ..base() }, HelloError::BadLength),
        (Build { suites: vec![0x13, 0x01, 0x13], ..base() }, HelloError::BadLength),
        (Build { methods: vec![], ..base() }, HelloError::BadLength),
        (Build { methods: vec![1], ..base() }, HelloError::NoNullCompression),
        (with(versions13()), HelloError::DuplicateExtension),
        (Build::with(&[(0x0a0a, vec![]), (0x0a0a, vec![])]), HelloError::DuplicateExtension),
        (with((0, vec![])), HelloError::BadLength),
        (with((0, vec![0, 0])), HelloError::BadLength),
        (with((0, vec![0, 3, 0, 0, 0])), HelloError::EmptyName),
        (with((0, vec![0, 4, 0, 0, 2, b'a'])), HelloError::BadLength),
        (with((0, vec![0, 4, 0, 0, 1, b'a', 0])), HelloError::BadLength),
        (with((0, vec![0, 4, 1, 0, 1, b'a'])), HelloError::NameType),
        (with(names(&[b"a.x", b"b.x"])), HelloError::TwoNames),
        (with(sni(&[b'a'; 256])), HelloError::LongName),
        (with(sni(b"a\0.example")), HelloError::IllegalName),
        (with(sni(b"*.x")), HelloError::IllegalName),
        (with((16, vec![])), HelloError::BadLength),
        (with((16, vec![0, 0])), HelloError::BadLength),
        (with((16, vec![0, 1, 0])), HelloError::BadLength),
        (with((16, vec![0, 3, 3, b'h', b'2'])), HelloError::BadLength),
        (with((16, vec![0, 4, 2, b'h', b'2', 0])), HelloError::BadLength),
        (with((10, vec![])), HelloError::BadLength),
        (with((13, vec![0, 3, 4, 3])), HelloError::BadLength),
        (with((51, vec![0, 1, 0, 29])), HelloError::BadLength),
        (with((0xff01, vec![1])), HelloError::BadLength),
        (Build::with(&[(43, vec![0])]), HelloError::BadLength),
        (Build::with(&[(43, vec![3, 3, 4, 3])]), HelloError::BadLength),
        (Build::with(&[(43, vec![2, 3, 4, 3])]), HelloError::BadLength),
    ];
    for (case, (build, error)) in cases.iter().enumerate() {
        assert_eq!(refusal(&build.wire()), *error, "case {case}");
        assert_eq!(refusal(&records(&build.message(), 1)), *error, "case {case} in 1-byte records");
    }
}

#[test]
fn p2_outer_lengths_must_agree() {
    let body = Build::default().body();
    let hello = |length: usize, body: &[u8]| {
        records(&[&[1][..], &(length as u32).to_be_bytes()[1..], body].concat(), 1 << 14)
    };
    assert_eq!(
        refusal(&hello(body.len() - 1, &body[..body.len() - 1])),
        HelloError::BadLength,
        "short of an extension"
    );
    assert_eq!(refusal(&hello(10, &body)), HelloError::BadLength, "shorter than its fixed part");
    let longer = [&body[..], &[0]].concat();
    assert_eq!(refusal(&hello(longer.len(), &longer)), HelloError::BadLength, "bytes after the extensions");
    assert_eq!(refusal(&hello(body.len(), &longer)), HelloError::TrailingBytes, "bytes after the message");
}

#[test]
fn a_flood_of_extensions_is_bounded() {
    let many: Vec<_> = (0..65).map(|n| (0x8000 + n, vec![])).collect();
    assert_eq!(refusal(&Build::with(&many).wire()), HelloError::TooManyExtensions);
    assert!(read(&Build::with(&many[..64]).wire()).is_ok());
}

#[test]
fn alerts_are_records() {
    assert_eq!(alert_record(HelloError::IllegalName.alert()), [21, 3, 3, 0, 2, 2, 112]);
}

proptest! {
    #[test]
    fn cutting_changes_nothing(at in 0..RUSTLS.len(), byte: u8, size in 1usize..40, step in 1usize..200) {
        let mut changed = message(RUSTLS).to_vec();
        if let Some(slot) = changed.get_mut(at) {
            *slot = byte;
        }
        let whole = read(&records(&changed, 1 << 14));
        let wire = records(&changed, size);
        let mut reader = HelloReader::new(CAP);
        let mut cut = Ok(None);
        for end in (0..wire.len()).step_by(step).chain([wire.len()]) {
            cut = reader.read(&wire[..end]);
            if !matches!(cut, Ok(None)) {
                break;
            }
        }
        let facts = |hello: Option<Hello>| hello.map(|hello| (hello.sni().map(str::to_owned), hello.offers_h2, hello.tls13));
        match (whole, cut) {
            // In one record a surplus shows at once; in several it is the next record's.
            (Err(HelloError::TrailingBytes), _) => {}
            (whole, cut) => prop_assert_eq!(whole.map(facts), cut.map(facts)),
        }
    }

    #[test]
    fn p3_no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = read(&records(&[&[1, 0, 1, 0, 3, 3][..], &bytes].concat(), 1 << 14));
    }
}
