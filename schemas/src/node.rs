//! A request's body as a small borrowed tree, from JSON or MessagePack alike, so that one set of rules reads both.
//!
//! Tensor data is not part of the tree: in JSON it stays the text it was (and is read once its datatype is known), in
//! MessagePack it is a borrowed byte string. So the tree's size is bounded whatever the body's is.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    codec::{self, MAX_DEPTH},
    refusal::{Refusal, RefusalCode},
};

/// Values outside of tensor data that a body may hold.
const MAX_NODES: usize = 4096;

/// One value of a body.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    Null,
    Bool,
    Unsigned(u64),
    /// Negative or fractional: nothing in a request is, so the value itself is not kept.
    OtherNumber,
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    List(Vec<Node<'a>>),
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
    /// JSON tensor data, unread.
    Raw(&'a RawValue),
}

/// Reads a JSON body.
pub(crate) fn from_json(body: &[u8]) -> Result<Node<'_>, Refusal> {
    let context = Context::new(true);
    let mut decoder = serde_json::Deserializer::from_slice(body);
    let node = context
        .root()
        .deserialize(&mut decoder)
        .and_then(|node| decoder.end().map(|()| node));
    node.map_err(|error| {
        let words = error.to_string();
        let depth = words.contains("recursion limit");
        let utf8 = is_lone_surrogate(&words) || std::str::from_utf8(body).is_err();
        context.explain(words, depth, utf8)
    })
}

/// Whether the JSON decoder's words say that a `\u` escape is half of a pair: text that no UTF-8 can hold.
pub(crate) fn is_lone_surrogate(words: &str) -> bool {
    words.contains("surrogate") || words.contains("unexpected end of hex escape")
}

/// Reads a MessagePack body.
pub(crate) fn from_msgpack(body: &[u8]) -> Result<Node<'_>, Refusal> {
    let context = Context::new(false);
    let mut decoder = codec::decoder(body);
    let node = context.root().deserialize(&mut decoder).map_err(|error| {
        let depth = matches!(error, rmp_serde::decode::Error::DepthLimitExceeded);
        let utf8 = matches!(error, rmp_serde::decode::Error::Utf8Error(_));
        context.explain(error.to_string(), depth, utf8)
    })?;
    if codec::at_end(&mut decoder) {
        Ok(node)
    } else {
        Err(Refusal::new(RefusalCode::MalformedBody, "bytes follow the request"))
    }
}

/// What all seeds of one body share.
struct Context {
    json: bool,
    nodes: Cell<usize>,
    refusal: RefCell<Option<Refusal>>,
}

impl Context {
    const fn new(json: bool) -> Self {
        Self {
            json,
            nodes: Cell::new(0),
            refusal: RefCell::new(None),
        }
    }

    fn root(&self) -> Seed<'_> {
        Seed {
            context: self,
            depth: 0,
        }
    }

    /// The refusal a seed left, or one made of the decoder's own words.
    fn explain(&self, words: String, depth: bool, utf8: bool) -> Refusal {
        if let Some(refusal) = self.refusal.take() {
            return refusal;
        }
        match (depth, utf8) {
            (true, _) => too_deep(),
            (_, true) => Refusal::new(RefusalCode::InvalidUtf8, "the body has text that is not UTF-8"),
            _ => Refusal::new(RefusalCode::MalformedBody, words),
        }
    }

    fn refuse<E: serde::de::Error>(&self, refusal: Refusal) -> E {
        let error = E::custom(&refusal.detail);
        self.refusal.replace(Some(refusal));
        error
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        self.nodes.set(self.nodes.get() + 1);
        if self.nodes.get() <= MAX_NODES {
            return Ok(());
        }
        let detail = "the body holds too many values outside of tensor data";
        Err(self.refuse(Refusal::new(RefusalCode::TooManyValues, detail).limit(format_args!("{MAX_NODES} values"))))
    }
}

fn too_deep() -> Refusal {
    Refusal::new(RefusalCode::NestingTooDeep, "the body nests too deep").limit(format_args!("{MAX_DEPTH} levels"))
}

#[derive(Clone, Copy)]
struct Seed<'c> {
    context: &'c Context,
    depth: usize,
}

/// `{inputs: [{data: …}]}`: the body, the list and the input are three levels.
const INPUT_DEPTH: usize = 3;

impl<'c> Seed<'c> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.context.refuse(too_deep()));
        }
        Ok(Seed {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        self.context.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(u64::try_from(value).map_or(Node::OtherNumber, Node::Unsigned))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_borrowed_bytes<E>(self, value: &'de [u8]) -> Result<Node<'de>, E> {
        Ok(Node::Bytes(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(node) = seq.next_element_seed(seed)? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut entries: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            if entries.iter().any(|(seen, _)| *seen == key) {
                let detail = format!("field {:?} stands there twice", shortened(&key));
                return Err(self
                    .context
                    .refuse(Refusal::new(RefusalCode::DuplicateField, detail).at(shortened(&key))));
            }
            let node = if self.context.json && seed.depth == INPUT_DEPTH && key == "data" {
                Node::Raw(map.next_value()?)
            } else {
                map.next_value_seed(seed)?
            };
            entries.push((key, node));
        }
        Ok(Node::Map(entries))
    }
}

/// A name the client made up, short enough to be repeated to it.
pub(crate) fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Self::Value, E> {
        Err(E::custom("a field's name is text"))
    }
}
