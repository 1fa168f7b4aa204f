//! The same request past the proxy and through it, in every mix of HTTP versions.

use bytes::Bytes;
use copilens::sim::client::{Connection, RequestBody};
use copilens::sim::copilot::control;
use copilens::sim::copilot::{Fields, SeenRequest};
use copilens::sim::tls::Alpn;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;

use super::{Frames, Pair};

/// What a client gets.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: Fields,
    body: Bytes,
    trailers: Fields,
}

fn fields(map: &HeaderMap) -> Fields {
    let hop_by_hop = ["connection", "transfer-encoding", "keep-alive"];
    let kept = map.iter().filter(|(name, _)| !hop_by_hop.contains(&name.as_str()));
    let value = |name: &str, value: &[u8]| if name == "date" { Bytes::new() } else { Bytes::copy_from_slice(value) };
    kept.map(|(name, bytes)| (name.to_string(), value(name.as_str(), bytes.as_bytes()))).collect()
}

async fn ask(connection: &Connection, request: Request<RequestBody>) -> Answer {
    let mut reply = connection.send_streaming(request).await.unwrap();
    let body = reply.bytes().await.unwrap();
    let trailers = reply.trailers().map(fields).unwrap_or_default();
    Answer { status: reply.status().as_u16(), headers: fields(reply.headers()), body, trailers }
}

/// Fields as the other HTTP version would carry them: no `Host`, no framing, names in lower case, one `Cookie`.
fn without_version(request: &SeenRequest) -> Fields {
    let mut fields: Fields = request.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    fields.retain(|(name, _)| !["host", "transfer-encoding"].contains(&name.as_str()));
    let crumbs: Vec<_> = fields.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.to_vec()).collect();
    if let Some(first) = fields.iter().position(|(name, _)| name == "cookie") {
        fields.retain(|(name, _)| name != "cookie");
        fields.insert(first, ("cookie".to_owned(), Bytes::from(crumbs.join(&b"; "[..]))));
    }
    fields
}

/// Requests that differ in their framing, with what steers the answer.
fn requests() -> Vec<Request<RequestBody>> {
    let whole = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    // A body without a length, for over HTTP/1.1 only a chunked one has trailers.
    let frames = [
        Frame::data(Bytes::from_static(b"some ")),
        Frame::data(Bytes::from_static(b"text")),
        Frame::trailers(trailers),
    ];
    let with_trailers = Frames(frames.into());
    vec![
        Request::get("/models?all=1").body(whole("").boxed_unsync()).unwrap(),
        super::chat().header(control::BODY_SIZE, "70000").body(whole("{\"stream\":false}").boxed_unsync()).unwrap(),
        super::chat()
            .header("accept-encoding", "gzip, br")
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .header(control::BODY_SIZE, "3000")
            .header(control::FRAMING, "chunked")
            .header(control::ENCODING, "br")
            .header(control::TRAILER, "x-checksum: 1234")
            .body(with_trailers.boxed_unsync())
            .unwrap(),
        super::chat().header(control::STATUS, "429").body(whole("{}").boxed_unsync()).unwrap(),
        Request::delete("/nowhere").body(whole("").boxed_unsync()).unwrap(),
    ]
}

fn dressed(mut request: Request<RequestBody>, number: usize, version: Alpn) -> Request<RequestBody> {
    let headers = request.headers_mut();
    if version == Alpn::Http1 && headers.contains_key("te") {
        headers.append("connection", "TE".parse().unwrap());
    }
    headers.insert("x-request-id", format!("00000000-0000-4000-8000-{number:012}").parse().unwrap());
    for value in ["one", "", "two"] {
        headers.append("x-several", value.parse().unwrap());
    }
    headers.append("cookie", "a=1".parse().unwrap());
    headers.append("cookie", "b=2".parse().unwrap());
    request
}

async fn compare(client: Alpn, upstream: Alpn) {
    let pair = Pair::new(upstream).await;
    let (direct, through) = (pair.direct(upstream).await, pair.through(client).await);
    for (number, (one, other)) in requests().into_iter().zip(requests()).enumerate() {
        let expected = ask(&direct, dressed(one, number, upstream)).await;
        let arrives = pair.last_request();
        let answer = ask(&through, dressed(other, number, client)).await;
        let arrived = pair.last_request();
        let expected = without_unannounced_trailers(expected, client, upstream);
        assert_eq!(answer, expected, "answer to {} {}", arrived.method, arrived.uri);
        compare_requests(&arrived, &arrives, client == upstream);
    }
}

/// hyper sends trailers over HTTP/1.1 only where `Trailer` announces them, which HTTP/2 servers need not do.
fn without_unannounced_trailers(answer: Answer, client: Alpn, upstream: Alpn) -> Answer {
    match (client, upstream) {
        (Alpn::Http1, Alpn::Http2) => Answer { trailers: Fields::new(), ..answer },
        _ => answer,
    }
}

fn compare_requests(arrived: &SeenRequest, arrives: &SeenRequest, same_version: bool) {
    let target = (&arrived.method, &arrived.uri, arrived.version);
    assert_eq!(target, (&arrives.method, &arrives.uri, arrives.version));
    // hyper writes trailer names in its own way, so their case does not count.
    let lower = |fields: &Fields| fields.iter().map(|(n, v)| (n.to_lowercase(), v.clone())).collect::<Fields>();
    assert_eq!((&arrived.body, lower(&arrived.trailers)), (&arrives.body, lower(&arrives.trailers)));
    let host = |request: &SeenRequest| request.header("host").map(str::to_owned);
    assert_eq!(host(arrived), host(arrives));
    assert_eq!(arrived.header("te"), arrives.header("te"));
    assert_eq!(without_hop_by_hop(without_version(arrived)), without_hop_by_hop(without_version(arrives)));
    if same_version {
        let names = |request: &SeenRequest| request.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names_kept(names(arrived)), names_kept(names(arrives)));
    }
}

fn without_hop_by_hop(mut fields: Fields) -> Fields {
    fields.retain(|(name, _)| name != "connection" && name != "te");
    fields
}

fn names_kept(mut names: Vec<String>) -> Vec<String> {
    let hop_by_hop = ["connection", "te", "transfer-encoding"];
    names.retain(|name| !hop_by_hop.contains(&name.to_lowercase().as_str()));
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_to_http1_is_as_without_the_proxy() {
    compare(Alpn::Http1, Alpn::Http1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_to_http2_is_as_without_the_proxy() {
    compare(Alpn::Http1, Alpn::Http2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_to_http1_is_as_without_the_proxy() {
    compare(Alpn::Http2, Alpn::Http1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_to_http2_is_as_without_the_proxy() {
    compare(Alpn::Http2, Alpn::Http2).await;
}
