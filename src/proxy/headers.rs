//! What a proxy must change in a message's head, and nothing else: fields that are meant for one connection are taken
//! out (RFC 9110 section 7.6.1), and a request is put into the form of the HTTP version it is sent on.

use http::header::{CONNECTION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri, Version};

use super::target::Origin;

/// Fields for one connection only, besides those that `Connection` names and every `Proxy-*` field.
const HOP_BY_HOP: [HeaderName; 5] = [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, HeaderName::from_static("keep-alive")];

/// Takes hop-by-hop and `Proxy-*` fields out. The order of all other fields and values stays.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named = named_by_connection(headers);
    if !headers.keys().any(|name| is_hop_by_hop(name, &named)) {
        return;
    }
    // `HeaderMap::remove` moves the last field into the gap, so the map is made anew to keep the order.
    let kept = headers.iter().filter(|(name, _)| !is_hop_by_hop(name, &named));
    *headers = collect(kept.map(|(name, value)| (name.clone(), value.clone())), headers.len());
}

/// As [`strip_hop_by_hop`], for a request: `TE: trailers` is said anew, since trailers pass (RFC 9110 section 10.1.4).
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    let takes_trailers = lists(headers, &TE).any(|item| item.eq_ignore_ascii_case("trailers"));
    strip_hop_by_hop(headers);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// As [`strip_hop_by_hop`], for a request or an answer that changes the protocol: `Connection` and `Upgrade` stay.
pub(crate) fn strip_for_upgrade(headers: &mut HeaderMap) {
    let kept = headers.iter().filter(|(name, _)| {
        !name.as_str().starts_with("proxy-")
            && *name != TE
            && *name != TRANSFER_ENCODING
            && name.as_str() != "keep-alive"
    });
    *headers = collect(kept.map(|(name, value)| (name.clone(), value.clone())), headers.len());
}

fn is_hop_by_hop(name: &HeaderName, named: &[HeaderName]) -> bool {
    HOP_BY_HOP.contains(name) || name.as_str().starts_with("proxy-") || named.contains(name)
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    lists(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect()
}

/// The items of a field that is a list.
fn lists<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn collect(fields: impl Iterator<Item = (HeaderName, HeaderValue)>, capacity: usize) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(capacity);
    for (name, value) in fields {
        headers.append(name, value);
    }
    headers
}

/// Whether a request begins a WebSocket (RFC 6455 section 4.1). Any other upgrade is left out, as RFC 9110 section 7.8 lets a
/// server do: what is spoken after it could not be understood.
pub(crate) fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    let mut protocols = request.headers().get_all(UPGRADE).iter();
    let is_websocket = |protocol: &HeaderValue| protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    protocols.next().is_some_and(is_websocket)
        && protocols.next().is_none()
        && named_by_connection(request.headers()).contains(&UPGRADE)
}

/// Makes an absolute-form request name the host of its URL alone: what was vetted, whatever `Host` says (RFC 9112 section
/// 3.2.2).
pub(crate) fn take_host_from_uri<B>(request: &mut Request<B>) {
    let host = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = host
        && request.headers().contains_key(HOST)
    {
        request.headers_mut().insert(HOST, host);
    }
}

/// Puts a request into HTTP/1.1's form: path in the request line, `Host` first where the client sent none, and one
/// `Cookie` field (RFC 9113 section 8.2.3).
pub(crate) fn for_http1<B>(request: &mut Request<B>, origin: &Origin) {
    if !request.headers().contains_key(HOST) {
        prepend_host(request.headers_mut(), origin);
    }
    if request.version() == Version::HTTP_2 {
        join_cookies(request.headers_mut());
    }
    if request.headers().contains_key(TE) {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("TE"));
    }
    *request.uri_mut() = Uri::from(path(request.uri()));
    *request.version_mut() = Version::HTTP_11;
}

/// Puts a request into HTTP/2's form: an absolute URI, whose authority is the `Host` that the client sent.
pub(crate) fn for_http2<B>(request: &mut Request<B>, origin: &Origin) {
    let host = request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = host.or_else(|| request.uri().authority().cloned()).or_else(|| origin.authority());
    parts.path_and_query = Some(path(request.uri()));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    if request.headers().contains_key(HOST) || request.headers().contains_key(CONNECTION) {
        let kept = request.headers().iter().filter(|(name, _)| *name != HOST && *name != CONNECTION);
        let headers = collect(kept.map(|(name, value)| (name.clone(), value.clone())), request.headers().len());
        *request.headers_mut() = headers;
    }
    *request.version_mut() = Version::HTTP_2;
}

fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

fn prepend_host(headers: &mut HeaderMap, origin: &Origin) {
    let Ok(host) = HeaderValue::from_str(&origin.host_header()) else { return };
    let rest = headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    *headers = collect(std::iter::once((HOST, host)).chain(rest), headers.len() + 1);
}

fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        collect(
            fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
            fields.len(),
        )
    }

    fn fields(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn hop_by_hop_fields_go_and_the_rest_keeps_its_order() {
        let mut headers = map(&[
            ("host", "a"),
            ("connection", "keep-alive, X-Trace"),
            ("x-trace", "1"),
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("proxy-connection", "keep-alive"),
            ("x-b", "2"),
            ("te", "trailers"),
            ("x-a", "3"),
            ("x-a", "4"),
            ("trailer", "x-sum"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(fields(&headers), [("host", "a"), ("x-b", "2"), ("x-a", "3"), ("x-a", "4"), ("trailer", "x-sum")]);
    }

    #[test]
    fn a_request_says_anew_that_trailers_are_taken() {
        let origin = Origin::https("api.example.com", 443);
        let mut request = Request::post("/v1").body(()).unwrap();
        *request.headers_mut() =
            map(&[("host", "a"), ("te", "gzip;q=0.5, Trailers"), ("connection", "TE"), ("x", "1")]);
        strip_request(request.headers_mut());
        for_http1(&mut request, &origin);
        assert_eq!(fields(request.headers()), [("host", "a"), ("x", "1"), ("te", "trailers"), ("connection", "TE")]);
        for_http2(&mut request, &origin);
        assert_eq!(fields(request.headers()), [("x", "1"), ("te", "trailers")]);
        let mut without = map(&[("te", "gzip")]);
        strip_request(&mut without);
        assert!(without.is_empty());
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        let asks = |upgrade: &'static str, connection: &'static str| {
            let mut request = Request::get("/").body(()).unwrap();
            *request.headers_mut() = map(&[("connection", connection), ("upgrade", upgrade)]);
            asks_for_websocket(&request)
        };
        assert!(asks("WebSocket", "keep-alive, Upgrade"));
        assert!(!asks("websocket", "keep-alive"));
        assert!(!asks("h2c", "Upgrade"));
        assert!(!asks("h2c, websocket", "Upgrade"));
    }

    #[test]
    fn an_upgrade_keeps_what_asks_for_it() {
        let mut headers = map(&[("connection", "Upgrade"), ("upgrade", "websocket"), ("proxy-authorization", "x")]);
        strip_for_upgrade(&mut headers);
        assert_eq!(fields(&headers), [("connection", "Upgrade"), ("upgrade", "websocket")]);
    }

    #[test]
    fn the_url_of_an_absolute_form_request_outdoes_its_host() {
        let mut request = Request::get("http://a.example:8080/x").body(()).unwrap();
        take_host_from_uri(&mut request);
        assert!(request.headers().is_empty());
        *request.headers_mut() = map(&[("x-b", "1"), ("host", "b.example"), ("x-a", "2"), ("host", "c.example")]);
        take_host_from_uri(&mut request);
        assert_eq!(fields(request.headers()), [("x-b", "1"), ("host", "a.example:8080"), ("x-a", "2")]);
    }

    #[test]
    fn http2_to_http1_gets_a_host_first_and_one_cookie() {
        let origin = Origin::https("api.example.com", 443);
        let mut request = Request::post("https://api.example.com/v1?x=1").version(Version::HTTP_2).body(()).unwrap();
        *request.headers_mut() = map(&[("accept", "*/*"), ("cookie", "a=1"), ("cookie", "b=2")]);
        for_http1(&mut request, &origin);
        assert_eq!(request.uri(), "/v1?x=1");
        assert_eq!(fields(request.headers()), [("host", "api.example.com"), ("accept", "*/*"), ("cookie", "a=1; b=2")]);
    }

    #[test]
    fn http1_to_http2_takes_the_host_as_authority() {
        let origin = Origin::https("api.example.com", 443);
        let mut request = Request::post("/v1").body(()).unwrap();
        *request.headers_mut() = map(&[("host", "api.example.com"), ("accept", "*/*"), ("x-b", "1")]);
        for_http2(&mut request, &origin);
        assert_eq!(request.uri(), "https://api.example.com/v1");
        assert_eq!(fields(request.headers()), [("accept", "*/*"), ("x-b", "1")]);
        for_http1(&mut request, &origin);
        assert_eq!(fields(request.headers())[0], ("host", "api.example.com"));
    }
}
