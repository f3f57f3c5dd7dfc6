//! How many columns of a terminal a text takes. By the blocks that are wide or combine (Unicode Standard Annex 11), not
//! by each character's own property: a table of all of them would be longer than the rest of this program's output.

use std::borrow::Cow;

/// Columns that the text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The text, or as much of it as fits into so many columns with an ellipsis behind it.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most || width(text) <= most {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += columns(*c);
        used < most
    };
    let mut short: String = text.chars().take_while(fits).collect();
    if most > 0 {
        short.push('…');
    }
    Cow::Owned(short)
}

fn columns(c: char) -> usize {
    match c {
        // Combining marks, joiners and variation selectors stand on what is before them.
        '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5bd}'
        | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}'..='\u{200d}'
        | '\u{20d0}'..='\u{20f0}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' => 0,
        // Hangul initials, East Asian scripts and full-width forms, emoji.
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97c}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff01}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_take_as_many_columns_as_a_terminal_gives_them() {
        for (text, columns) in
            [("abc", 3), ("é", 1), ("e\u{301}", 1), ("漢字", 4), ("ｗ", 2), ("👩", 2), ("…·", 2)]
        {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn what_is_cut_fits() {
        for (text, most, short) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("漢字", 4, "漢字"),
            ("漢字漢", 4, "漢…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("漢", 1, "…"),
            ("a", 0, ""),
        ] {
            assert_eq!(cut(text, most), short);
        }
    }
}
