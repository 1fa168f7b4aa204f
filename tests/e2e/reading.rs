//! What a client of the admin listener gets.

use bytes::Bytes;
use copilens::sim::client::direct_plain;
use http::{HeaderMap, HeaderName, Method, Request};
use serde_json::Value;

use crate::support::Copilens;

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// One value a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

pub(crate) async fn get(copilens: &Copilens, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
    send(copilens, Method::GET, path, headers).await
}

/// `path` may also be a URL of the listener.
pub(crate) async fn send(copilens: &Copilens, method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
    let host = copilens.admin.to_string();
    let path = path.strip_prefix(&format!("http://{host}")).unwrap_or(path);
    let connection = direct_plain(copilens.admin, &host).await.unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let mut reply = connection.send(request.body(Bytes::new()).unwrap()).await.unwrap();
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    Answer { status, headers, body: reply.bytes().await.unwrap() }
}
