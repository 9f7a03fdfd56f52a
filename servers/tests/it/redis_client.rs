//! One command to Redis over a plain socket.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends one inline command and returns the whole reply as it came.
pub(crate) fn call(url: &str, command: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("redis://").unwrap()).unwrap();
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    replies.strip_suffix("+OK\r\n").unwrap().to_owned()
}
