//! One command to Redis over a plain socket.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends one inline command and returns the whole reply as it came.
pub(crate) fn call(url: &str, command: &str) -> String {
    let (user, address) = url.strip_prefix("redis://").unwrap().split_once('@').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    let ask = format!("AUTH {}\r\n{command}\r\nQUIT\r\n", user.replace(':', " "));
    stream.write_all(ask.as_bytes()).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    let replies = replies.strip_prefix("+OK\r\n").unwrap();
    replies.strip_suffix("+OK\r\n").unwrap().to_owned()
}
