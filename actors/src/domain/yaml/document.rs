//! YAML text to values: anchors, merge keys, duplicate keys, and limits that hold on hostile text.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::domain::yaml::scalar::resolve_plain;
use crate::domain::yaml::value::Value;

/// Deepest nesting that is read.
///
/// Units: collections inside each other. Why: values are written, compared and dropped recursively.
pub const MAX_DEPTH: usize = 128;

/// Most memory that anchors and aliases may copy.
///
/// Units: bytes. Why: a few lines of aliases to aliases expand to more than any machine holds.
pub const MAX_EXPANSION: usize = 16 << 20;

/// Collections up to this depth have known positions ([`Document::position`]): the top, its keys, list items, and their keys.
const POSITIONED_DEPTH: usize = 3;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, the first is 1.
    pub line: usize,
    /// Column in characters, the first is 1.
    pub column: usize,
}

impl Position {
    /// Place of the character behind a text.
    #[must_use]
    pub fn after(text: &str) -> Self {
        let last_line = text.rsplit('\n').next().unwrap_or_default();
        Self { line: text.split('\n').count(), column: last_line.chars().count() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is no YAML document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// Line, the first is 1.
    pub line: usize,
    /// Column in characters, the first is 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl YamlError {
    fn at(position: Position, message: impl Into<String>) -> Self {
        Self { line: position.line, column: position.column, message: message.into() }
    }

    /// Where.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { line: self.line, column: self.column }
    }
}

/// Something that a strict reader refuses and that is read nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlWarning {
    /// Where.
    pub position: Position,
    /// What.
    pub message: String,
}

/// A document with what a value alone does not tell.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The value.
    pub value: Value,
    /// Duplicate keys and further documents, both of which are passed over.
    pub warnings: Vec<YamlWarning>,
    positions: BTreeMap<String, Position>,
    raw: BTreeMap<String, String>,
}

impl Document {
    /// Where a node starts.
    ///
    /// Paths look like `` (the document), `instances`, `instances[0]`, `instances[0].tags`; deeper nodes have no known position.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<Position> {
        self.positions.get(path).copied()
    }

    /// Text of a top-level scalar as it was written, before its type was found: `0x10` and `yes` stay that.
    #[must_use]
    pub fn raw_text(&self, key: &str) -> Option<&str> {
        self.raw.get(key).map(String::as_str)
    }
}

/// Reads the first document of a text; a text without one is null.
///
/// Errors: [`YamlError`] for text that is no YAML, for nesting deeper than [`MAX_DEPTH`] and for aliases that expand to more than
/// [`MAX_EXPANSION`].
pub fn parse(text: &str) -> Result<Value, YamlError> {
    parse_document(text).map(|document| document.value)
}

/// As [`parse`], with positions and with what a strict reader would refuse.
///
/// Errors: as [`parse`].
pub fn parse_document(text: &str) -> Result<Document, YamlError> {
    // The parser knows no byte order mark, and it lets control characters pass, which yaml v2 refuses.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = text.find(|character: char| character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{85}')) {
        let code = text[at..].chars().next().map_or(0, u32::from);
        return Err(YamlError::at(Position::after(&text[..at]), format!("control character U+{code:04X} is not allowed")));
    }
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let marker = error.marker();
            YamlError::at(Position { line: marker.line(), column: marker.col() + 1 }, error.info())
        })?;
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    let message = "a further document starts here, only the first is read".to_owned();
                    builder.document.warnings.push(YamlWarning { position: start_of(span), message });
                    break;
                }
            }
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            node => builder.take(node, start_of(span))?,
        }
    }
    Ok(builder.document)
}

fn start_of(span: Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

/// A value with what is needed to bound its copies.
#[derive(Clone)]
struct Built {
    value: Value,
    bytes: usize,
    height: usize,
}

impl Built {
    fn scalar(value: Value) -> Self {
        let text = value.as_str().map_or(0, str::len);
        Self { value, bytes: size_of::<Value>() + text, height: 0 }
    }
}

enum Shape {
    List(Vec<Value>),
    Map {
        entries: Entries,
        /// Key whose value comes next.
        key: Option<Key>,
    },
}

enum Key {
    Plain(Value, Position),
    Merge,
}

struct Frame {
    shape: Shape,
    start: Position,
    anchor: usize,
    bytes: usize,
    height: usize,
    /// Path of this collection while its children have known positions.
    path: Option<String>,
}

#[derive(Default)]
struct Builder {
    frames: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    expanded: usize,
    document: Document,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if is_merge_key(&text, style, tag.as_deref()) && self.expect_merge() {
                    return Ok(());
                }
                if self.frames.len() == 1
                    && let Some((path, _)) = self.next_place()
                {
                    self.document.raw.insert(path, text.to_string());
                }
                let value = typed_scalar(&text, style, tag.as_deref(), at)?;
                self.finish(Built::scalar(value), anchor, at)
            }
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor) else {
                    return Err(YamlError::at(at, "alias to an anchor that contains it"));
                };
                let (bytes, height) = (target.bytes, target.height);
                if self.frames.len() + height > MAX_DEPTH {
                    return Err(too_deep(at));
                }
                // Charged before it is copied.
                self.charge(bytes, at)?;
                let copy = self.anchors.get(&anchor).cloned().unwrap_or_else(|| Built::scalar(Value::Null));
                self.finish(copy, 0, at)
            }
            Event::SequenceStart(anchor, _) => self.open(Shape::List(Vec::new()), anchor, at),
            Event::MappingStart(anchor, _) => self.open(Shape::Map { entries: Entries::default(), key: None }, anchor, at),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, shape: Shape, anchor: usize, at: Position) -> Result<(), YamlError> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        let path = self.next_place().map(|(path, _)| path);
        self.frames.push(Frame { shape, start: at, anchor, bytes: size_of::<Value>(), height: 1, path });
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let value = match frame.shape {
            Shape::List(items) => Value::List(items),
            Shape::Map { entries, .. } => Value::Map(entries.list),
        };
        self.finish(Built { value, bytes: frame.bytes, height: frame.height }, frame.anchor, frame.start)
    }

    /// Puts a complete node into its parent.
    fn finish(&mut self, built: Built, anchor: usize, at: Position) -> Result<(), YamlError> {
        if anchor != 0 {
            self.charge(built.bytes, at)?;
            self.anchors.insert(anchor, built.clone());
        }
        if let Some((path, place)) = self.next_place() {
            self.document.positions.insert(path, place.unwrap_or(at));
        }
        let Some(frame) = self.frames.last_mut() else {
            self.document.value = built.value;
            return Ok(());
        };
        frame.bytes += built.bytes;
        frame.height = frame.height.max(built.height + 1);
        match &mut frame.shape {
            Shape::List(items) => items.push(built.value),
            Shape::Map { entries, key } => match key.take() {
                None if matches!(built.value, Value::List(_) | Value::Map(_)) => {
                    return Err(YamlError::at(at, "a mapping key must be a scalar, found a sequence or a mapping"));
                }
                None => *key = Some(Key::Plain(built.value, at)),
                Some(Key::Merge) => entries.merge(built.value, at)?,
                Some(Key::Plain(name, position)) => {
                    if entries.contains(&name) {
                        let message = format!("duplicate key {:?}, its last value counts", name.key_text());
                        self.document.warnings.push(YamlWarning { position, message });
                    }
                    entries.insert(name, built.value);
                }
            },
        }
        Ok(())
    }

    /// Notes that the next node is merged into the mapping, if a key may stand here.
    fn expect_merge(&mut self) -> bool {
        match self.frames.last_mut().map(|frame| &mut frame.shape) {
            Some(Shape::Map { key: key @ None, .. }) => {
                *key = Some(Key::Merge);
                true
            }
            _ => false,
        }
    }

    /// Path of the next node, and the position of its key if it has one; nothing for keys and for nodes that lie too deep.
    fn next_place(&self) -> Option<(String, Option<Position>)> {
        let Some(frame) = self.frames.last() else {
            return Some((String::new(), None));
        };
        if self.frames.len() > POSITIONED_DEPTH {
            return None;
        }
        let parent = frame.path.as_deref()?;
        match &frame.shape {
            Shape::List(items) => Some((format!("{parent}[{}]", items.len()), None)),
            Shape::Map { key: Some(Key::Plain(name, position)), .. } => {
                let separator = if parent.is_empty() { "" } else { "." };
                Some((format!("{parent}{separator}{}", name.key_text()), Some(*position)))
            }
            Shape::Map { .. } => None,
        }
    }

    fn charge(&mut self, bytes: usize, at: Position) -> Result<(), YamlError> {
        self.expanded = self.expanded.saturating_add(bytes);
        if self.expanded > MAX_EXPANSION {
            return Err(YamlError::at(at, format!("anchors and aliases expand to more than {MAX_EXPANSION} bytes")));
        }
        Ok(())
    }
}

/// Entries of a mapping under construction, with an index because hostile mappings have a million keys.
#[derive(Default)]
struct Entries {
    list: Vec<(Value, Value)>,
    places: HashMap<String, usize>,
}

impl Entries {
    fn contains(&self, key: &Value) -> bool {
        self.places.contains_key(&identity(key))
    }

    /// Sets a value; an earlier one of the same key is replaced.
    fn insert(&mut self, key: Value, value: Value) {
        match self.places.entry(identity(&key)) {
            Entry::Occupied(place) => {
                if let Some(entry) = self.list.get_mut(*place.get()) {
                    entry.1 = value;
                }
            }
            Entry::Vacant(place) => {
                place.insert(self.list.len());
                self.list.push((key, value));
            }
        }
    }

    /// Merges a mapping, or the mappings of a sequence, of which earlier ones take precedence.
    ///
    /// As yaml v2 does it, in document order: merged keys replace keys that stand before the merge key and are replaced by those after it.
    fn merge(&mut self, source: Value, at: Position) -> Result<(), YamlError> {
        let sources = match source {
            Value::List(items) => items,
            one => vec![one],
        };
        for source in sources.into_iter().rev() {
            let Value::Map(entries) = source else {
                return Err(YamlError::at(at, "a merge key needs a mapping or a sequence of mappings"));
            };
            for (key, value) in entries {
                self.insert(key, value);
            }
        }
        Ok(())
    }
}

/// Tells keys of different type apart: `1` and `"1"` are two keys.
fn identity(key: &Value) -> String {
    let kind = match key {
        Value::Null => 'n',
        Value::Bool(_) => 'b',
        Value::Int(_) | Value::UInt(_) => 'i',
        Value::Float(_) => 'f',
        Value::Text(_) => 't',
        Value::List(_) | Value::Map(_) => 'c',
    };
    format!("{kind}{}", key.key_text())
}

fn is_merge_key(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> bool {
    text == "<<" && (tag.and_then(core_type) == Some("merge") || (tag.is_none() && style == ScalarStyle::Plain))
}

/// Name of a type of the YAML type repository, for example `int` for `!!int`.
fn core_type(tag: &Tag) -> Option<&str> {
    match tag.handle.as_str() {
        "tag:yaml.org,2002:" | "!!" => Some(&tag.suffix),
        _ => None,
    }
}

fn typed_scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<Value, YamlError> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { resolve_plain(text) } else { Value::from(text) });
    };
    let plain = resolve_plain(text);
    let typed = match (core_type(tag), plain) {
        (Some("int"), number @ (Value::Int(_) | Value::UInt(_)))
        | (Some("float"), number @ Value::Float(_))
        | (Some("bool"), number @ Value::Bool(_))
        | (Some("null"), number @ Value::Null) => Some(number),
        (Some("float"), Value::Int(number)) => Some(Value::Float(number as f64)),
        (Some("int" | "float" | "bool" | "null"), _) => None,
        (Some("binary"), _) => {
            let packed: String = text.split_ascii_whitespace().collect();
            BASE64.decode(packed).ok().map(|bytes| Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => Some(Value::from(text)),
    };
    typed.ok_or_else(|| YamlError::at(at, format!("the value has the tag !!{} but is not one", tag.suffix)))
}

fn too_deep(at: Position) -> YamlError {
    YamlError::at(at, format!("nested deeper than {MAX_DEPTH} collections"))
}
