//! YAML text to values: anchors, merge keys, duplicate keys, and limits that hold on hostile text.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Parser, Span};

use crate::domain::yaml::entries::Entries;
use crate::domain::yaml::mistake::{Position, YamlError, YamlWarning};
use crate::domain::yaml::tag::{is_merge_key, typed_scalar};
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

fn too_deep(at: Position) -> YamlError {
    YamlError::at(at, format!("nested deeper than {MAX_DEPTH} collections"))
}
