//! A report's file, as GitHub's storage service hands it out: to whoever has the link.
//!
//! `application/x-ndjson`, which says what it is; the storage service calls everything `application/octet-stream`, and
//! clients look at neither.

use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, RawQuery, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::{AppendHeaders, IntoResponse, Response};
use bytes::Bytes;
use chrono::Utc;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::channel::{Channel, Sender};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Desk;
use super::growing::{Reader, Writer, ends};
use super::problem::Problem;
use super::query::Query;
use super::report::ReportFile;
use crate::reports::{ReportError, Reports, Result};

/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that go to the file at a time.
const BUFFER: usize = 64 << 10;

/// Serves the file that the link leads to.
pub(super) async fn download(
    State(desk): State<Arc<Desk>>,
    method: Method,
    path: std::result::Result<RawPathParams, RawPathParamsRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> std::result::Result<Response, Problem> {
    let path = path.map_err(|_| Problem::NotFound)?;
    let name = path.iter().find_map(|(key, value)| (key == "file").then_some(value)).ok_or(Problem::NotFound)?;
    let query = Query::parse(&query.unwrap_or_default());
    let file = desk.links.follow(&desk.source.live().current(), (name, &query), Utc::now())?;
    let is_gzip = accepts_gzip(&headers);
    if method == Method::HEAD {
        return Ok((head(file, is_gzip), ()).into_response());
    }
    let reading = Arc::clone(&desk.reading).try_acquire_owned().map_err(|_| Problem::Busy)?;
    let reader = begin(&desk, file, is_gzip).await?;
    let (sender, body) = Channel::new(1);
    tokio::spawn(deliver(reader, sender, reading));
    Ok((head(file, is_gzip), Body::new(body)).into_response())
}

fn head(file: ReportFile, is_gzip: bool) -> AppendHeaders<Vec<(HeaderName, String)>> {
    let mut head = vec![
        (CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
        (VARY, "accept-encoding".to_owned()),
    ];
    head.extend(is_gzip.then(|| (CONTENT_ENCODING, "gzip".to_owned())));
    AppendHeaders(head)
}

/// RFC 9110 section 12.5.3.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_none = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !is_none
    })
}

/// Has the report made, and waits until it begins or cannot be had.
async fn begin(desk: &Arc<Desk>, file: ReportFile, is_gzip: bool) -> std::result::Result<Reader, Problem> {
    let making = desk.may_make().await?;
    let folder = desk.source.live().current().settings.log_dir.clone();
    let made = tokio::task::spawn_blocking(move || ends(&folder)).await.map_err(io::Error::other);
    let (writer, mut reader) = made.flatten().map_err(ReportError::from)?;
    let asked = Arc::clone(desk);
    let made = tokio::task::spawn_blocking(move || {
        let _making = making;
        let result = asked.source.reports().and_then(|reports| write(&reports, file, writer, is_gzip));
        if let Err(error) = &result
            && !is_departure(error)
        {
            tracing::error!(%error, %file, "a report broke off");
        }
        result
    });
    if reader.begins().await {
        return Ok(reader);
    }
    match made.await {
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(())) => Ok(reader),
        Err(error) => Err(ReportError::from(io::Error::other(error)).into()),
    }
}

fn write(reports: &Reports, file: ReportFile, writer: Writer, is_gzip: bool) -> Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, writer);
    if is_gzip {
        let mut encoder = GzEncoder::new(out, Compression::fast());
        file.write(reports, &mut encoder)?;
        out = encoder.finish()?;
    } else {
        file.write(reports, &mut out)?;
    }
    out.flush()?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
    Ok(())
}

/// Whether the client went away, which is no fault.
fn is_departure(error: &ReportError) -> bool {
    matches!(error, ReportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

/// Hands the client what there is, until it has all or is gone.
async fn deliver(mut reader: Reader, mut client: Sender<Bytes, io::Error>, _reading: OwnedSemaphorePermit) {
    loop {
        match reader.next().await {
            Ok(Some(piece)) => match timeout(PATIENCE, client.send_data(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => return client.abort(io::ErrorKind::TimedOut.into()),
            },
            Ok(None) => return,
            Err(error) => return client.abort(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        let accepts = |values: &[&str]| {
            accepts_gzip(&values.iter().map(|value| (ACCEPT_ENCODING, value.parse().unwrap())).collect())
        };
        for yes in ["gzip", "gzip, deflate", "br;q=1.0, GZIP;q=0.5", "identity, gzip ; q=0.001"] {
            assert!(accepts(&[yes]), "{yes}");
        }
        for no in ["", "identity", "gzipx", "gzip;q=0", "gzip; q=0.000, br"] {
            assert!(!accepts(&[no]), "{no}");
        }
        assert!(!accepts(&[]) && accepts(&["br", "gzip"]));
    }
}
