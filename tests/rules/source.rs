//! Reads a source file far enough to know which paths it names: comments, literals and test modules are cut away,
//! `use` trees are spelled out, and `crate`, `self` and `super` are resolved.
//!
//! It is no parser: names that a macro puts together are not seen.

/// One source file.
pub struct Source {
    /// As in `src/wire/head.rs`.
    pub file: String,
    /// As in `wire::head`; empty for the crate root.
    pub module: String,
    /// The text, whole.
    pub text: String,
    /// Tokens outside of tests, comments and literals.
    tokens: Vec<String>,
}

impl Source {
    /// Reads `text` as the file at `file`.
    pub fn new(file: &str, text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        Self { file: file.to_string(), module: module_of(file), text: text.to_string(), tokens }
    }

    /// The top module it belongs to: `wire` for `wire::head`.
    pub fn area(&self) -> &str {
        self.module.split("::").next().unwrap_or_default()
    }

    /// Whether the file holds nothing but tests.
    pub fn is_test(&self) -> bool {
        self.file.ends_with("/tests.rs") || self.file.contains("/tests/")
    }

    /// Whether a token (such as a keyword) stands in it.
    pub fn has_token(&self, token: &str) -> bool {
        self.tokens.iter().any(|here| here == token)
    }

    /// How many lines stand before the first inline test module.
    pub fn length(&self) -> usize {
        let all: Vec<&str> = self.text.lines().collect();
        let tests = all.windows(2).position(|two| two[0] == "#[cfg(test)]" && two[1].ends_with('{'));
        tests.unwrap_or(all.len())
    }

    /// Every path that is named, in full: `crate::wire::head::Fields`, `std::net::TcpStream`.
    pub fn paths(&self) -> Vec<String> {
        let starts =
            |at: usize| is_name(&self.tokens[at]) && self.tokens.get(at + 1).is_some_and(|next| next == "::");
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let is_use = self.tokens[at] == "use";
            at = if is_use || starts(at) {
                tree(&self.tokens, at + usize::from(is_use), "", &mut found)
            } else {
                at + 1
            };
        }
        found.into_iter().map(|path| self.resolve(&path)).collect()
    }

    /// Names that `use` declarations start with and that come from outside the file: candidates for crates.
    pub fn foreign_roots(&self) -> Vec<String> {
        let declared = |keyword: &'static str| self.behind(keyword).collect::<Vec<_>>();
        let local = [declared("mod"), declared("enum"), declared("struct")].concat();
        let imported = self.paths();
        let is_local = |name: &str| {
            local.contains(&name) || imported.iter().any(|path| path.ends_with(&format!("::{name}")))
        };
        self.behind("use").filter(|name| is_name(name) && !is_local(name)).map(str::to_string).collect()
    }

    /// The tokens that follow each `keyword`.
    fn behind(&self, keyword: &'static str) -> impl Iterator<Item = &str> {
        self.tokens.windows(2).filter(move |two| two[0] == keyword).map(|two| two[1].as_str())
    }

    fn resolve(&self, path: &str) -> String {
        let names: Vec<&str> = path.split("::").collect();
        let above = names.iter().take_while(|name| **name == "super").count();
        if above == 0 && names[0] != "self" {
            return path.to_string();
        }
        let own: Vec<&str> = self.module.split("::").filter(|name| !name.is_empty()).collect();
        let base = &own[..own.len().saturating_sub(above)];
        let rest = &names[above.max(1)..];
        ["crate"].iter().chain(base).chain(rest).copied().collect::<Vec<_>>().join("::")
    }
}

fn module_of(file: &str) -> String {
    let path = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    match path {
        "lib" | "main" => String::new(),
        path => path.replace('/', "::"),
    }
}

/// Spells out one path or `use` tree from `at`; returns where it ends.
fn tree(tokens: &[String], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut path = prefix.to_string();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "{" => return group(tokens, at + 1, &path, found),
            name if is_name(name) || name == "*" => path.push_str(name),
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|next| next != "::") {
            break;
        }
        path.push_str("::");
        at += 1;
    }
    found.push(path);
    at
}

/// The inside of `{…}` behind `prefix`.
fn group(tokens: &[String], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "}" => return at + 1,
            "self" => {
                found.push(prefix.trim_end_matches("::").to_string());
                at += 1;
            }
            "as" => at += 2,
            name if is_name(name) || name == "*" => at = tree(tokens, at, prefix, found),
            _ => at += 1,
        }
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single signs; comments, strings, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = literal(rest);
        if skip > 0 {
            rest = &rest[skip..];
            continue;
        }
        let len = match first {
            _ if rest.starts_with("::") => 2,
            _ if first.is_alphanumeric() || first == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            _ => first.len_utf8(),
        };
        if !first.is_whitespace() {
            out.push(rest[..len].to_string());
        }
        rest = &rest[len..];
    }
    out
}

/// Length of the comment or literal that `rest` starts with; 0 for none.
fn literal(rest: &str) -> usize {
    let behind =
        |start: usize, end: &str| rest[start..].find(end).map_or(rest.len(), |at| start + at + end.len());
    if rest.starts_with("//") {
        return behind(2, "\n");
    }
    if rest.starts_with("/*") {
        return behind(2, "*/");
    }
    let raw = rest.trim_start_matches(['b', 'r']);
    let prefix = rest.len() - raw.len();
    if prefix > 0 && rest[..prefix].contains('r') && (raw.starts_with('"') || raw.starts_with('#')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return behind(prefix + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    if prefix <= 1 && raw.starts_with('"') {
        return prefix + quoted(raw, '"');
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    0
}

/// A quoted literal with escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// A character literal, or the tick and name of a lifetime.
fn character(rest: &str) -> usize {
    let mut inside = rest.chars().skip(1);
    let (first, second) = (inside.next(), inside.next());
    if first == Some('\\') || second == Some('\'') {
        return quoted(rest, '\'');
    }
    let name = rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len() - 1);
    name + 1
}

/// Leaves out every item under `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().take(MARK.len()).eq(MARK.iter()) {
            at = item_end(tokens, at + MARK.len());
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

/// Where the item that starts at `at` ends: behind its block, or behind its semicolon.
fn item_end(tokens: &[String], at: usize) -> usize {
    let mut depth = 0;
    for (offset, token) in tokens[at..].iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return at + offset + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + offset + 1,
            _ => {}
        }
    }
    tokens.len()
}
