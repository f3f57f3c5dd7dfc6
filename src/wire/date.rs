//! HTTP dates (RFC 9110 §5.6.7): the fixed form, and the two old ones that a recipient has to take too.
//!
//! It reads; it never writes. It refuses what no such date says: other zones, other languages, days that do not exist.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date in Unix seconds.
///
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`. A year of two digits
/// is the one between 1970 and 2069.
pub fn http_date(text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?.trim();
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).take(7).collect();
    match words[..] {
        [_, day, month, year, time, "GMT"] | [_, month, day, time, year] => {
            moment(day, month, year.parse().ok()?, time)
        }
        [_, date, time, "GMT"] => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?.parse::<i64>().ok()?);
            let century = if year < 70 { 2000 } else { 1900 };
            moment(day, month, century + Some(year).filter(|year| *year < 100)?, time)
        }
        _ => None,
    }
}

fn moment(day: &str, month: &str, year: i64, time: &str) -> Option<i64> {
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let day: i64 = digits(day)?;
    let mut clock = time.split(':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // A leap second is 60.
    let real = (1..=days_of(month, year)).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let plausible = (1900..10_000).contains(&year) && clock.next().is_none() && real;
    plausible.then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// One or two digits.
fn digits(text: &str) -> Option<i64> {
    let short = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if short { text.parse().ok() } else { None }
}

fn days_of(month: i64, year: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1 January 1970 in the Gregorian calendar, with years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_rfc_9110_are_one_moment() {
        let forms = [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "  Sun, 6 Nov 1994 08:49:37 GMT ",
        ];
        for text in forms {
            assert_eq!(http_date(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1)),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200)),
            ("Sun, 22 Nov 2026 12:00:00 GMT", Some(20_779 * 86_400 + 43_200)),
            ("Wed, 29 Feb 2023 00:00:00 GMT", None),
            ("Thu, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
        ];
        for (text, seconds) in cases {
            assert_eq!(http_date(text.as_bytes()), seconds, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn p3_no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60), text in "[ ,:GMT0-9JanOct-]{0,60}") {
            http_date(&bytes);
            http_date(text.as_bytes());
        }
    }

    #[test]
    fn what_is_no_such_date_is_refused() {
        let cases = [
            "",
            "120",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
            "\u{fc} \u{fc} \u{fc} \u{fc} \u{fc}",
        ];
        for text in cases {
            assert_eq!(http_date(text.as_bytes()), None, "{text}");
        }
    }
}
