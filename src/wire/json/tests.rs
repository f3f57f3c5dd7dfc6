use super::*;
use proptest::prelude::*;

/// Tags by the key that leads to a place; `Root` and `Item` for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Root,
    A,
    Long,
    Item,
}

type Members = &'static [(&'static str, &'static Shape<Tag>)];

const KEEP: usize = 1 << 16;
static MEMBERS: Members = &[("a", &A), ("long \"key\"", &LONG)];
static ROOT: Shape<Tag> = Shape::object(MEMBERS).tagged(Tag::Root).keeping(KEEP).items(&ITEM);
static A: Shape<Tag> = Shape::object(MEMBERS).tagged(Tag::A).keeping(KEEP).items(&ITEM);
static LONG: Shape<Tag> = Shape::object(MEMBERS).tagged(Tag::Long).keeping(KEEP).items(&ITEM);
static ITEM: Shape<Tag> = Shape::object(MEMBERS).tagged(Tag::Item).keeping(KEEP).items(&ITEM);

/// Everything that was told, as lines.
#[derive(Default, Debug, PartialEq)]
struct Told(Vec<String>);

impl Sink<Tag> for Told {
    fn value(&mut self, tag: Tag, value: Value<'_>) {
        self.0.push(match value {
            Value::Null => format!("{tag:?} null"),
            Value::Bool(value) => format!("{tag:?} {value}"),
            Value::Number(number) => format!("{tag:?} {}", number.text().unwrap_or("long")),
            Value::Text(text) => format!("{tag:?} {:?} {}", text.lossy(), text.len),
        });
    }
    fn open(&mut self, tag: Tag) {
        self.0.push(format!("{tag:?} open"));
    }
    fn close(&mut self, tag: Tag, _raw: Option<Text<'_>>) {
        self.0.push(format!("{tag:?} close"));
    }
}

fn skim(pieces: &[&[u8]]) -> (Result<(), JsonError>, Vec<String>) {
    let (mut skimmer, mut told) = (Skimmer::one(&ROOT), Told::default());
    let pushed = pieces.iter().try_for_each(|piece| skimmer.push(piece, &mut told));
    let result = pushed.and_then(|()| skimmer.finish(&mut told));
    (result, told.0)
}

#[test]
fn a_number_that_breaks_behind_a_cut_is_not_told_at_the_end() {
    for pieces in [&[&b"{\"a\":1"[..], b"e\"x"][..], &[b"{\"a\":1e\"x"], &[b"{\"a\":1", b"e", b"\"x"]] {
        let (mut skimmer, mut told) = (Skimmer::one(&ROOT), Told::default());
        assert!(pieces.iter().any(|piece| skimmer.push(piece, &mut told).is_err()));
        assert!(skimmer.finish(&mut told).is_err());
        assert!(!told.0.iter().any(|line| line.contains('1')), "{:?}", told.0);
    }
}

/// The naive twin: what a walk over `serde_json`'s tree tells. Sorts nothing: the generator keeps one key per object.
fn walk(tag: Tag, value: &serde_json::Value, told: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(items) => {
            told.push(format!("{tag:?} open"));
            for item in items {
                walk(Tag::Item, item, told);
            }
            told.push(format!("{tag:?} close"));
        }
        serde_json::Value::Object(members) => {
            told.push(format!("{tag:?} open"));
            for (key, member) in members {
                match key.as_str() {
                    "a" => walk(Tag::A, member, told),
                    "long \"key\"" => walk(Tag::Long, member, told),
                    _ => {}
                }
            }
            told.push(format!("{tag:?} close"));
        }
        serde_json::Value::String(text) => told.push(format!("{tag:?} {text:?} {}", text.len())),
        scalar => told.push(format!("{tag:?} {scalar}")),
    }
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,20}|[\\x00-\\x7f]{0,40}|[😀\"\\\\/é]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let key = prop_oneof![Just("a"), Just("long \"key\""), Just("b"), Just("")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((key, inner), 0..5).prop_map(|members| {
                serde_json::Value::Object(
                    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}

/// Cuts `text` at the given places.
fn cut<'a>(text: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = at.iter().map(|index| index.index(text.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places {
        pieces.push(&text[from..place]);
        from = place;
    }
    pieces.push(&text[from..]);
    pieces
}

/// Spells some characters as `\u` escapes, as some servers do.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if character.is_ascii() && character != '<' {
            out.push(character);
        } else {
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units).iter();
            out.extend(units.map(|unit| format!("\\u{unit:04X}")));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_document_cut_anywhere_is_told_as_serde_json_reads_it(
        value in document(),
        pretty in any::<bool>(),
        escape in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }
            .expect("a Value serialises");
        if escape {
            text = escaped(&text);
        }
        let mut expected = Vec::new();
        walk(Tag::Root, &value, &mut expected);
        let (result, told) = skim(&cut(text.as_bytes(), &cuts));
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(&told, &expected);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        prop_assert_eq!(skim(&bytes), (Ok(()), expected));
    }

    #[test]
    fn what_is_refused_is_what_serde_json_refuses(
        value in document(),
        at in any::<prop::sample::Index>(),
        put in prop::sample::select(&b"{}[]\",:0-.e+1tn \\/u"[..]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut text = escaped(&serde_json::to_string(&value).expect("a Value serialises")).into_bytes();
        let place = at.index(text.len());
        text[place] = put;
        let strict = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(skim(&cut(&text, &cuts)).0.is_ok(), strict, "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn the_fast_search_finds_what_the_naive_one_finds(
        bytes in prop::collection::vec(prop::sample::select(&b"ab!#[]\x21\x23\x5b\x5d\xa2\xdc\"\\"[..]), 0..80),
        from in 0usize..80,
    ) {
        let bytes = &bytes[from.min(bytes.len())..];
        let naive = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        prop_assert_eq!(string::quote_or_backslash(bytes), naive);
    }

    #[test]
    fn no_bytes_make_it_panic_and_cuts_do_not_matter(
        text in prop::collection::vec(prop::sample::select(&b"{}[]\"\\u0d8aA,:-+.eE19truefalsn \n\xff"[..]), 0..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = skim(&[&text]);
        let pieces = skim(&cut(&text, &cuts));
        prop_assert_eq!(whole, pieces);
    }
}

#[test]
fn strings_are_unescaped() {
    let cases: &[(&str, &str)] = &[
        (r#""plain""#, "plain"),
        (r#""\u003c\/\"\\\b\f\n\r\t""#, "</\"\\\u{8}\u{c}\n\r\t"),
        (r#""\ud83d\ude00!""#, "😀!"),
        (r#""\ud83dx""#, "\u{FFFD}x"),
        (r#""\ude00""#, "\u{FFFD}"),
        (r#""\ud83d\ud83d\ude00""#, "\u{FFFD}😀"),
        (r#""\ud83d""#, "\u{FFFD}"),
        (r#""\ud83d\n""#, "\u{FFFD}\n"),
    ];
    for (document, expected) in cases {
        let told = skim(&[document.as_bytes()]);
        assert_eq!(told, (Ok(()), vec![format!("Root {expected:?} {}", expected.len())]), "{document}");
    }
}

#[test]
fn a_clip_keeps_the_beginning_and_the_true_length() {
    static SHORT: Shape<Tag> = Shape::value(Tag::Root, 4);
    struct Check(bool);
    impl Sink<Tag> for Check {
        fn value(&mut self, _: Tag, value: Value<'_>) {
            let text = value.text().expect("a string was sent");
            assert_eq!((text.lossy().as_ref(), text.len, text.clipped), ("abc", 9, true), "é is cut in two");
            self.0 = true;
        }
    }
    for pieces in [vec![&b"\"abc\xc3\xa9defg\""[..]], "\"abc\u{e9}defg\"".as_bytes().chunks(1).collect()] {
        let (mut skimmer, mut check) = (Skimmer::one(&SHORT), Check(false));
        pieces.iter().try_for_each(|piece| skimmer.push(piece, &mut check)).expect("valid");
        assert!(check.0);
    }
}

#[test]
fn raw_text_of_a_container_is_captured_up_to_its_cap() {
    static INNER: Shape<Tag> = Shape::object(&[]).tagged(Tag::A).raw(12);
    static OUTER: Shape<Tag> = Shape::object(&[("a", &INNER)]);
    #[derive(Default)]
    struct Raws(Vec<(String, bool)>);
    impl Sink<Tag> for Raws {
        fn value(&mut self, _: Tag, _: Value<'_>) {}
        fn close(&mut self, _: Tag, raw: Option<Text<'_>>) {
            let raw = raw.expect("asked for");
            self.0.push((raw.lossy().into_owned(), raw.clipped));
        }
    }
    let document = br#"{"x":{"a":{}},"a":{"b": [1,{}]},"a":{"b":"0123456789"}}"#;
    for size in [1, 2, 7, document.len()] {
        let (mut skimmer, mut raws) = (Skimmer::one(&OUTER), Raws::default());
        document.chunks(size).try_for_each(|piece| skimmer.push(piece, &mut raws)).expect("valid");
        let expected = [(r#"{"b": [1,{}]"#.to_owned(), true), (r#"{"b":"012345"#.to_owned(), true)];
        assert_eq!(raws.0, expected, "in pieces of {size}");
    }
}

#[test]
fn counts_may_be_written_as_floats() {
    static COUNT: Shape<Tag> = Shape::value(Tag::Root, 0);
    struct Count(Option<u64>);
    impl Sink<Tag> for Count {
        fn value(&mut self, _: Tag, value: Value<'_>) {
            self.0 = value.count();
        }
    }
    let cases = [
        ("12", Some(12)),
        ("12.0", Some(12)),
        ("1.2e1", Some(12)),
        ("0", Some(0)),
        ("-1", None),
        ("1.5", None),
        ("\"7\"", None),
    ];
    for (document, expected) in cases {
        let (mut skimmer, mut count) = (Skimmer::one(&COUNT), Count(None));
        skimmer.push(document.as_bytes(), &mut count).expect("valid");
        skimmer.finish(&mut count).expect("whole");
        assert_eq!(count.0, expected, "{document}");
    }
}

#[test]
fn depth_is_bounded() {
    let deep = vec![b'['; MAX_DEPTH + 1];
    assert_eq!(skim(&[&deep]).0, Err(JsonError::Depth));
    let fits = [vec![b'['; MAX_DEPTH], vec![b']'; MAX_DEPTH]].concat();
    assert_eq!(skim(&[&fits]).0, Ok(()));
}

#[test]
fn many_documents_follow_one_another() {
    let (mut skimmer, mut told) = (Skimmer::many(&ROOT), Told::default());
    skimmer.push(b" 1 {\"a\":2}\n[3]\"x\" ", &mut told).expect("valid");
    assert_eq!(skimmer.finish(&mut told), Ok(()));
    let expected =
        ["Root 1", "Root open", "A 2", "Root close", "Root open", "Item 3", "Root close", "Root \"x\" 1"];
    assert_eq!(told.0, expected);
    assert_eq!(skim(&[b"1 2"]).0, Err(JsonError::Trailing));
    skimmer.push(b" ,", &mut told).expect_err("a comma is no document");
}

#[test]
fn the_last_of_duplicate_keys_is_told_last() {
    let (_, told) = skim(&[br#"{"a":1,"\u0061":2}"#]);
    assert_eq!(told, ["Root open", "A 1", "A 2", "Root close"]);
}
