//! HTTP by hand: one request a connection, so that a test sees what is on the wire.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A header's value; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// GET of a path at `host:port`.
pub fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, "")
}

/// A request with a JSON body.
pub fn request(address: &str, method: &str, path: &str, body: &str) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    send(address, &(head + body))
}

/// Bytes as they are, and what is answered until the connection is closed.
pub fn send(address: &str, bytes: &str) -> Answer {
    let mut connection = connect(address);
    connection.write_all(bytes.as_bytes()).expect("a request can be sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer comes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.expect("an answer has a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// An open connection, on which nothing that hangs is waited for longer than a minute.
pub fn connect(address: &str) -> TcpStream {
    let connection = TcpStream::connect(address).expect("the server listens");
    connection
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a time limit can be set");
    connection
}
