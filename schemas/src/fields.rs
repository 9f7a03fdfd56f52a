//! The fields of a client's map, whatever the encoding was: each is asked for by its name, and refused by it.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use crate::{
    node::{Node, shortened},
    refusal::{Refusal, RefusalCode},
};

/// A map whose fields are taken one by one; what is left over is unknown.
pub(crate) struct Fields<'a> {
    path: String,
    entries: Vec<(Cow<'a, str>, Node<'a>)>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(node: Node<'a>, path: &str) -> Result<Self, Refusal> {
        match node {
            Node::Map(entries) => Ok(Self {
                path: path.to_owned(),
                entries,
            }),
            _ => Err(wrong_type(if path.is_empty() { "body" } else { path }, "an object")),
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A field's value; null counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let index = self.entries.iter().position(|(key, _)| key == name)?;
        Some(self.entries.swap_remove(index).1).filter(|node| !matches!(node, Node::Null))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(node) => text(node, &self.path(name)).map(Some),
        }
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        name: &str,
        code: RefusalCode,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|error: T::Err| Refusal::new(code, error.to_string()).at(self.path(name)))
    }

    pub(crate) fn missing(&self, name: &str) -> Refusal {
        let path = self.path(name);
        Refusal::new(RefusalCode::MissingField, format!("{path} is missing")).at(path)
    }

    pub(crate) fn end(self) -> Result<(), Refusal> {
        let Some((key, _)) = self.entries.first() else {
            return Ok(());
        };
        let path = self.path(&shortened(key));
        Err(Refusal::new(RefusalCode::UnknownField, format!("there is no field {path:?}")).at(path))
    }
}

/// A value that must be text. MessagePack text that is not UTF-8 arrives here as bytes.
pub(crate) fn text<'a>(node: Node<'a>, path: &str) -> Result<Cow<'a, str>, Refusal> {
    match node {
        Node::Text(text) => Ok(text),
        Node::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => {
            Err(Refusal::new(RefusalCode::InvalidUtf8, format!("{path} is not UTF-8")).at(path))
        }
        _ => Err(wrong_type(path, "a string")),
    }
}

pub(crate) fn wrong_type(path: &str, expected: &str) -> Refusal {
    Refusal::new(RefusalCode::WrongType, format!("{path} must be {expected}")).at(path)
}
