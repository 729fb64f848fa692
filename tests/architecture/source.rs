//! Reads Rust text just well enough to see which paths it names.

use std::collections::BTreeMap;

/// Segments of a path, for example `["crate", "kernel", "clock"]`.
pub(crate) type Path = Vec<String>;

/// What one file says about others. Comments, literals and parts under `#[cfg(test)]` are left out.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Modules declared with `mod name;`.
    pub(crate) children: Vec<String>,
    /// Paths named anywhere except in `pub use`, with aliases of `use` and of declared modules replaced.
    pub(crate) paths: Vec<Path>,
    /// Names that `pub use` offers to others, and what they stand for.
    pub(crate) reexports: BTreeMap<String, Path>,
}

impl Source {
    /// Reads one file.
    pub(crate) fn parse(text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let mut source = Self::default();
        let mut aliases: BTreeMap<String, Path> = BTreeMap::new();
        let mut named = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "mod" if tokens.get(at + 2).is_some_and(|token| token == ";") => {
                    let child = tokens[at + 1].clone();
                    aliases.insert(child.clone(), vec!["self".to_owned(), child.clone()]);
                    source.children.push(child);
                    at += 3;
                }
                "use" => {
                    let public = is_public(&tokens, at);
                    let mut leaves = Vec::new();
                    at = use_tree(&tokens, at + 1, &[], &mut leaves);
                    for (name, path) in leaves {
                        if public {
                            source.reexports.insert(name, path);
                        } else {
                            named.push(path.clone());
                            aliases.insert(name, path);
                        }
                    }
                }
                token if is_name(token) && (at == 0 || tokens[at - 1] != "::") => {
                    let mut path = vec![token.to_owned()];
                    while tokens.get(at + 1).is_some_and(|next| next == "::") && tokens.get(at + 2).is_some_and(|next| is_name(next)) {
                        path.push(tokens[at + 2].clone());
                        at += 2;
                    }
                    at += 1;
                    if path.len() > 1 {
                        named.push(path);
                    }
                }
                _ => at += 1,
            }
        }
        source.paths = named.into_iter().map(|path| expand(path, &aliases)).collect();
        for path in source.reexports.values_mut() {
            *path = expand(std::mem::take(path), &aliases);
        }
        source
    }
}

/// Replaces a leading alias, also one that leads through another.
fn expand(mut path: Path, aliases: &BTreeMap<String, Path>) -> Path {
    for _ in 0..4 {
        let Some(meaning) = aliases.get(&path[0]) else { break };
        if meaning[0] == path[0] {
            break;
        }
        path.splice(0..1, meaning.iter().cloned());
    }
    path
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Whether the `use` at `at` has a `pub` or `pub(...)` before it.
fn is_public(tokens: &[String], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map_or("", |index| tokens[index].as_str());
    before(1) == "pub" || (before(1) == ")" && (before(4) == "pub" || tokens[..at].iter().rev().take(8).any(|token| token == "pub")))
}

/// Reads one branch of a `use` tree into (name in this file, path) pairs; returns the position behind it.
fn use_tree(tokens: &[String], mut at: usize, prefix: &[String], leaves: &mut Vec<(String, Path)>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = use_tree(tokens, at, &path, leaves);
                    if tokens.get(at).is_some_and(|token| token == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some("*") => {
                leaves.push(("*".to_owned(), path));
                return at + 1;
            }
            Some("::") => at += 1,
            Some("as") => {
                leaves.push((tokens.get(at + 1).cloned().unwrap_or_default(), path));
                return at + 2;
            }
            Some("self") if !path.is_empty() => at += 1,
            Some(name) if is_name(name) => {
                path.push(name.to_owned());
                at += 1;
            }
            _ => {
                if let Some(name) = path.last().cloned() {
                    leaves.push((name, path));
                }
                return at;
            }
        }
    }
}

/// Splits text into names, `::` and single characters, without comments, literals and white space.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            '/' if peek(at + 1) == '/' => {
                while at < chars.len() && chars[at] != '\n' {
                    at += 1;
                }
            }
            '/' if peek(at + 1) == '*' => at = behind_block_comment(&chars, at),
            '"' => at = behind_string(&chars, at),
            '\'' if peek(at + 1) == '\\' => {
                at += 3;
                while at < chars.len() && chars[at] != '\'' {
                    at += 1;
                }
                at += 1;
            }
            '\'' if peek(at + 2) == '\'' => at += 3,
            ':' if peek(at + 1) == ':' => {
                tokens.push("::".to_owned());
                at += 2;
            }
            first if first.is_alphanumeric() || first == '_' => {
                let start = at;
                while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                match (word.as_str(), peek(at)) {
                    ("r" | "br" | "cr", '"' | '#') if opens_raw_string(&chars, at) => at = behind_raw_string(&chars, at),
                    // A raw identifier: the name follows as its own token.
                    ("r", '#') => at += 1,
                    ("b" | "c", '"') => {}
                    _ => tokens.push(word),
                }
            }
            space if space.is_whitespace() => at += 1,
            // `$crate` means `crate` in the file of the macro.
            '$' => at += 1,
            other => {
                tokens.push(other.to_string());
                at += 1;
            }
        }
    }
    tokens
}

fn behind_block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn behind_string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn opens_raw_string(chars: &[char], at: usize) -> bool {
    chars[at..].iter().find(|next| **next != '#') == Some(&'"')
}

fn behind_raw_string(chars: &[char], mut at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|next| **next == '#').count();
    at += hashes + 1;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take_while(|next| **next == '#').count() >= hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

/// Leaves out items under `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().map(String::as_str).take(MARK.len()).eq(MARK) {
            at = behind_item(tokens, at + MARK.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Position behind the item that starts at `at`: its `;` or its closing brace, outside of any bracket.
fn behind_item(tokens: &[String], mut at: usize) -> usize {
    let mut depth = 0;
    let mut is_use = false;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "use" if depth == 0 => is_use = true,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                // The braces of `use a::{b, c};` do not end it.
                if depth == 0 && !is_use {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Source::parse(text).paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn trees_of_use_are_unfolded() {
        assert_eq!(
            paths("use crate::a::{self, b::C, d::{E as F, *}};\nuse std::fmt;"),
            ["crate::a", "crate::a::b::C", "crate::a::d::E", "crate::a::d", "std::fmt"]
        );
    }

    #[test]
    fn paths_inside_code_are_seen_and_aliases_replaced() {
        assert_eq!(
            paths("use crate::domain::yaml; fn f(x: crate::ports::Check) { yaml::value::parse(); x::<u8>() }"),
            ["crate::domain::yaml", "crate::ports::Check", "crate::domain::yaml::value::parse"]
        );
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = r##"
            // crate::a::A
            /* crate::b::B /* crate::c::C */ */
            const X: &str = "crate::d::D \" crate::e::E"; const Y: &str = r#"crate::f::F "quoted" "#;
            const Z: char = '"'; const W: char = '\''; fn f<'a>(x: &'a u8) -> crate::g::G {}
            const B: &[u8] = b"crate::h::H";
        "##;
        assert_eq!(paths(text), ["crate::g::G"]);
    }

    #[test]
    fn parts_for_tests_are_left_out() {
        let text = "#[cfg(test)] use crate::{a::A, b::B}; #[cfg(test)] mod tests { use crate::c::C; fn f() {} } #[cfg(test)] mod more;
            fn g() { crate::d::D; }";
        assert_eq!(paths(text), ["crate::d::D"]);
        assert!(Source::parse(text).children.is_empty());
    }

    #[test]
    fn reexports_are_no_imports() {
        let source = Source::parse("mod value; pub use value::{Yaml, parse as read}; pub(crate) use crate::x::Y;");
        assert!(source.paths.is_empty());
        let reexports: Vec<_> = source.reexports.iter().map(|(name, path)| format!("{name}={}", path.join("::"))).collect();
        assert_eq!(reexports, ["Y=crate::x::Y", "Yaml=self::value::Yaml", "read=self::value::parse"]);
        assert_eq!(source.children, ["value"]);
    }

    #[test]
    fn a_macro_names_its_own_crate() {
        assert_eq!(paths("macro_rules! m { () => { $crate::kernel::Ping } }"), ["crate::kernel::Ping"]);
    }
}
