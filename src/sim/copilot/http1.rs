//! Answering over HTTP/1.1 (RFC 9112).

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::answer::Answer;
use super::control::{Control, Framing};
use super::pacing::{Act, Performance};
use super::seen::{Fields, OpenExchange, SeenRequest};
use super::service::Service;
use super::websocket;
use super::wire::{RequestHead, Wire};

/// Serves one connection to its end. An error means that it ended early, which is for the ledger to tell.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    service: &Service,
    connection: u64,
) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    loop {
        match wire.head().await {
            Ok(Some(head)) => {
                let request = seen(&head, connection);
                if websocket::is_asked_for(&head, &request) {
                    return websocket::serve(wire, request, service).await;
                }
                if !exchange(&mut wire, &head, service, connection).await? {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                wire.stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .await?;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    wire.stream.shutdown().await
}

/// One request and its answer; false where the connection ends with it.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    head: &RequestHead,
    service: &Service,
    connection: u64,
) -> io::Result<bool> {
    let mut request = seen(head, connection);
    let open = service.ledger.arrived(request.clone());
    let control = Control::of(&request);
    if head.lists("expect", "100-continue") && !control.interim.contains(&100) {
        wire.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    interim(wire, &control).await?;
    let (body, trailers) = wire.body(head).await?;
    open.received(&body, &trailers);
    (request.body, request.trailers) = (body, trailers);
    tokio::select! {
        () = service.wait_for_head(&control) => {}
        () = wire.peer_left() => return Err(io::ErrorKind::BrokenPipe.into()),
    }
    let answer = service.answer(&request, &control, &open);
    let reply = Reply::new(head, &control, &answer);
    wire.stream.write_all(reply.head(&control, &answer).as_bytes()).await?;
    let performance = service.performance(answer, &control);
    reply.send_body(wire, performance, &control, open).await
}

fn seen(head: &RequestHead, connection: u64) -> SeenRequest {
    SeenRequest {
        connection,
        method: head.method.clone(),
        uri: head.target.clone(),
        version: head.version,
        headers: head.headers.clone(),
        body: Bytes::new(),
        trailers: Fields::new(),
        answer: Bytes::new(),
        finished: false,
        aborted: false,
    }
}

async fn interim<S: AsyncWrite + Unpin>(wire: &mut Wire<S>, control: &Control) -> io::Result<()> {
    for code in &control.interim {
        let answer = match code {
            100 => "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            103 => "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n\r\n".to_owned(),
            code => format!("HTTP/1.1 {code} Interim\r\n\r\n"),
        };
        wire.stream.write_all(answer.as_bytes()).await?;
    }
    wire.stream.flush().await
}

/// How an answer is put on the wire.
struct Reply {
    framing: Framing,
    bodiless: bool,
    keep_alive: bool,
}

impl Reply {
    fn new(head: &RequestHead, control: &Control, answer: &Answer) -> Self {
        let mut framing = answer.framing(control);
        if head.version == http::Version::HTTP_10 && framing == Framing::Chunked {
            framing = Framing::Close;
        }
        let bodiless = head.method == "HEAD" || matches!(answer.status, 204 | 304);
        let wanted = head.version == http::Version::HTTP_11 && !head.lists("connection", "close");
        Self { framing, bodiless, keep_alive: wanted && framing != Framing::Close }
    }

    fn head(&self, control: &Control, answer: &Answer) -> String {
        let reason = http::StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
        let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason.unwrap_or("Simulated"));
        let mut field = |name: &str, value: &str| {
            let _ = write!(head, "{name}: {value}\r\n");
        };
        answer.headers.iter().for_each(|(name, value)| field(name, value));
        match self.framing {
            Framing::Length if answer.status != 204 => field("content-length", &answer.length().to_string()),
            Framing::Chunked if !self.bodiless => field("transfer-encoding", "chunked"),
            _ => {}
        }
        if let Some((name, _)) = control.trailer.as_ref().filter(|_| self.framing == Framing::Chunked) {
            field("trailer", name);
        }
        if !self.keep_alive {
            field("connection", "close");
        }
        head.push_str("\r\n");
        head
    }

    async fn send_body<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &mut Wire<S>,
        mut performance: Performance,
        control: &Control,
        open: OpenExchange,
    ) -> io::Result<bool> {
        wire.stream.flush().await?;
        if !self.bodiless {
            self.send_pieces(wire, &mut performance).await?;
            if self.framing == Framing::Chunked {
                wire.stream.write_all(last_chunk(control).as_bytes()).await?;
            }
        }
        wire.stream.flush().await?;
        open.finish();
        Ok(self.keep_alive)
    }

    async fn send_pieces<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &mut Wire<S>,
        performance: &mut Performance,
    ) -> io::Result<()> {
        loop {
            let act = tokio::select! {
                act = performance.next() => act,
                () = wire.peer_left() => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            match act {
                Some(Act::Send(piece)) => self.send_piece(wire, &piece).await?,
                Some(Act::BreakOff) => return Err(io::ErrorKind::ConnectionAborted.into()),
                None => return Ok(()),
            }
        }
    }

    async fn send_piece<S: AsyncWrite + Unpin>(&self, wire: &mut Wire<S>, piece: &Bytes) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.framing == Framing::Chunked {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            wire.stream.write_all(&chunk).await?;
        } else {
            wire.stream.write_all(piece).await?;
        }
        wire.stream.flush().await
    }
}

fn last_chunk(control: &Control) -> String {
    let trailer = control.trailer.as_ref().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("0\r\n{}\r\n", trailer.unwrap_or_default())
}
