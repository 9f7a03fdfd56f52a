//! MessagePack as hex that a person can read: each value's path and meaning as a comment above its bytes.

use std::fmt::Write as _;

/// The whole message, a comment and its bytes a value.
pub(crate) fn annotate(title: &str, bytes: &[u8]) -> String {
    let mut walk = Walk {
        bytes,
        at: 0,
        text: format!("# {title}\n"),
    };
    walk.value("", 0);
    assert_eq!(walk.at, bytes.len(), "bytes follow the message");
    walk.text
}

/// The bytes of an annotated file: what is left without its comments and spaces.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: Vec<u8> = lines
        .flat_map(str::bytes)
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    text: String,
}

impl Walk<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        self.at += count;
        &self.bytes[self.at - count..self.at]
    }

    fn number(&mut self, width: usize) -> u64 {
        self.take(width).iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
    }

    /// Writes the value at `path`, whose key began at `from`.
    fn value(&mut self, path: &str, from: usize) {
        let marker = self.number(1);
        match marker {
            0x00..=0x7f => self.say(path, from, &marker.to_string()),
            0x80..=0x8f => self.map(path, from, marker & 0x0f),
            0x90..=0x9f => self.list(path, from, marker & 0x0f),
            0xa0..=0xbf => self.string(path, from, marker & 0x1f),
            0xc0 => self.say(path, from, "nil"),
            0xc4..=0xc6 => {
                let length = self.number(1 << (marker - 0xc4));
                self.take(usize::try_from(length).unwrap());
                self.say(path, from, &format!("{length} bytes"));
            }
            0xcc..=0xcf => {
                let number = self.number(1 << (marker - 0xcc));
                self.say(path, from, &number.to_string());
            }
            0xd9..=0xdb => {
                let length = self.number(1 << (marker - 0xd9));
                self.string(path, from, length);
            }
            0xdc => {
                let length = self.number(2);
                self.list(path, from, length);
            }
            0xde => {
                let length = self.number(2);
                self.map(path, from, length);
            }
            _ => panic!("marker {marker:#x} at {} is none that we write", self.at - 1),
        }
    }

    fn string(&mut self, path: &str, from: usize, length: u64) {
        let text = self.take(usize::try_from(length).unwrap());
        let said = format!("{:?}", std::str::from_utf8(text).unwrap());
        self.say(path, from, &said);
    }

    fn list(&mut self, path: &str, from: usize, length: u64) {
        self.say(path, from, &format!("list of {length}"));
        for index in 0..length {
            self.value(&format!("{path}[{index}]"), self.at);
        }
    }

    fn map(&mut self, path: &str, from: usize, length: u64) {
        self.say(path, from, &format!("map of {length}"));
        for _ in 0..length {
            let from = self.at;
            let key = self.key();
            let dot = if path.is_empty() { "" } else { "." };
            self.value(&format!("{path}{dot}{key}"), from);
        }
    }

    fn key(&mut self) -> String {
        let length = self.number(1);
        assert!(
            (0xa0..=0xbf).contains(&length),
            "our fields' names have at most 31 bytes"
        );
        let text = self.take(usize::try_from(length & 0x1f).unwrap());
        String::from_utf8(text.to_vec()).unwrap()
    }

    /// The comment, then the bytes from the key on.
    fn say(&mut self, path: &str, from: usize, meaning: &str) {
        let colon = if path.is_empty() { "" } else { ": " };
        writeln!(self.text, "# {path}{colon}{meaning}").unwrap();
        for line in self.bytes[from..self.at].chunks(32) {
            let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(self.text, "{}", hex.join(" ")).unwrap();
        }
    }
}
