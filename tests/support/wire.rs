//! HTTP/1.1 written and read by hand, for what no client library would send.

use std::net::SocketAddr;

use copilens::sim::client::Credentials;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// A connection.
pub struct Wire<S> {
    stream: S,
}

/// The head of an answer as it came, and the body that its length announces.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// All values of a header field, by any case of its name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

impl Wire<TcpStream> {
    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Asks for a tunnel as the user of these credentials.
    pub async fn connect(&mut self, authority: &str, credentials: &Credentials) -> Answer {
        self.ask(connect(authority, credentials)).await
    }
}

/// The bytes of a CONNECT that leaves its connection open.
pub fn connect(authority: &str, credentials: &Credentials) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n", field(credentials))
}

/// The bytes of a GET for an absolute `http` URL, with further header lines.
pub fn get(url: &str, credentials: &Credentials, fields: &str) -> String {
    let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{fields}{}\r\n", field(credentials))
}

fn field(credentials: &Credentials) -> String {
    credentials.header().map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn over(stream: S) -> Self {
        Self { stream }
    }

    pub fn into_stream(self) -> S {
        self.stream
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes).await;
        self.answer().await
    }

    pub async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.read_answer()).await.unwrap_or_else(|_| panic!("no answer came"))
    }

    async fn read_answer(&mut self) -> Answer {
        // One byte at a time: what follows the head of a 2xx to CONNECT belongs to the tunnel.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.stream.read_u8().await;
            head.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&head))));
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.all("content-length").first().map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer
    }

    /// What still comes until the other side ends the connection, in whatever way.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection stays open after {:?}", String::from_utf8_lossy(&rest));
        rest
    }
}
