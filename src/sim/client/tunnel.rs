//! CONNECT, by hand: the bytes that editors send, and every byte that comes back.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ClientError, ConnectAnswer};

/// The longest answer to CONNECT that is read.
const MAX_ANSWER: usize = 64 * 1024;

pub(super) async fn open(
    mut socket: TcpStream,
    authority: &str,
    credentials: Option<&str>,
) -> Result<TcpStream, ClientError> {
    let broken = |source| ClientError::Tunnel { authority: authority.to_owned(), source };
    socket.write_all(request(authority, credentials).as_bytes()).await.map_err(broken)?;
    let answer = answer(&mut socket).await.map_err(broken)?;
    if (200..300).contains(&answer.status) {
        return Ok(socket);
    }
    Err(ClientError::Refused { authority: authority.to_owned(), answer: Box::new(answer) })
}

/// The header fields are those of Copilot's language server, in its order.
fn request(authority: &str, credentials: Option<&str>) -> String {
    let credentials = credentials.map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();
    format!(
        "CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\nProxy-Connection: keep-alive\r\n\
         User-Agent: GithubCopilot/1.539.0\r\n{credentials}Connection: close\r\n\r\n"
    )
}

/// The answer to a request for another protocol: CONNECT, or an upgrade.
pub(super) async fn answer(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<ConnectAnswer> {
    // One byte at a time: what follows the head of a 2xx or 101 belongs to the tunnel.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
        if head.len() > MAX_ANSWER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer's head is too long"));
        }
    }
    let mut answer = parse(&head)?;
    if !matches!(answer.status, 101 | 200..300) {
        answer.body = body(socket, answer.header("content-length")).await;
    }
    Ok(answer)
}

fn parse(head: &[u8]) -> io::Result<ConnectAnswer> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut fields);
    let whole = parsed.parse(head).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let status = parsed.code.filter(|_| whole.is_complete());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer has no status"))?;
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = parsed.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
    Ok(ConnectAnswer { status, headers, body: String::new() })
}

/// A refusal's body: of the given length, else until the proxy closes. What does not come is left out.
async fn body(socket: &mut (impl AsyncRead + Unpin), length: Option<&str>) -> String {
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(MAX_ANSWER as u64);
    let mut body = Vec::new();
    let _ = socket.take(length.min(MAX_ANSWER as u64)).read_to_end(&mut body).await;
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_target_and_its_user() {
        insta::assert_snapshot!(request("api.github.com:443", Some("Basic YTpi")).replace('\r', ""), @r"
        CONNECT api.github.com:443 HTTP/1.1
        host: api.github.com:443
        Proxy-Connection: keep-alive
        User-Agent: GithubCopilot/1.539.0
        Proxy-Authorization: Basic YTpi
        Connection: close
        ");
        assert!(!request("api.github.com:443", None).contains("Proxy-Authorization"));
    }

    #[test]
    fn an_answer_is_read_with_its_fields() {
        let answer = parse(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.header("proxy-authenticate")), (407, Some("Basic realm=\"x\"")));
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
