//! A record of the add-on's becomes one of ours: its exchange is put together again as far as it goes and understood like a
//! live one. What it counts as is what the add-on counted it as.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, NaiveDateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;
use serde_json::{Map, Value};

use super::walk::{content, no_json};
use super::{NO_DAY, derived_id, label, language, may_be, repair};
use crate::copilot::vocabulary::{Class, Kind};
use crate::copilot::{Feature, Verdict};
use crate::exchange::{BodySize, Ending, Exchange, Head, ResponseHead, Timings, redact};
use crate::identity::UserName;
use crate::recorder::record::{CountedAs, Record};
use crate::recorder::understanding::understand;
use crate::usage::IMPORTED;

/// Form of `timestamp`: what Python's `utcnow().isoformat()` writes, which leaves zero microseconds out.
const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.f";
/// The same in a file's name.
const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.f";
/// What the add-on has for an editor that does not tell its version.
const NO_EDITOR: &str = "-";
/// Shortest password that is looked for in texts: users chose shorter ones, such as `123`, which are in any text.
const SHORTEST_PASSWORD: usize = 8;

/// A record that was taken over.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) record: Record,
    /// Part of its file's name.
    pub(super) client: IpAddr,
    /// Size of the add-on's file.
    pub(super) bytes: u64,
}

/// Reads a record file of the add-on's; `None` where it is one of ours.
pub(super) fn read(path: &Path, decode_limit: usize) -> Result<Option<Taken>, String> {
    let text = content(path)?;
    let bytes = text.len() as u64;
    let mut file: Value = serde_json::from_slice(&text).map_err(|error| no_json(&error))?;
    drop(text);
    let fields = file.as_object_mut().ok_or("no record: it is no JSON object")?;
    if fields.contains_key("class") && fields.contains_key("id") {
        return Ok(None);
    }
    let (Some(mut request), Some(mut response)) = (object(fields, "request"), object(fields, "response")) else {
        return Err("no record: it lacks `request` or `response`".to_owned());
    };
    let place = Place::of(path);
    let (user, credentials) = user(fields, &place)?;
    let ended_at = ended_at(fields, &place)?;
    let (kind, url) = asked(&request, &place)?;
    let secrets = Secrets::of(&credentials);
    let request_headers = headers(&request);
    let editor = label(request_headers.get("editor-version").and_then(Value::as_str).unwrap_or(NO_EDITOR));
    let took = milliseconds(fields.get("proxy-time-consumed"));
    let request_content = repair::request(request.remove("content").unwrap_or_default());
    let spoken = request_content.pointer("/extra/language").and_then(Value::as_str).and_then(language);
    let answer = repair::answer(response.remove("content").unwrap_or_default());
    let is_stream = matches!(answer, repair::Body::Stream(_));
    let request_body = secrets.out_of(repair::bytes(request_content), redact::body);
    let response_body = secrets.out_of(answer.into_bytes(), redact::body_without_blanks);
    let request_headers = redacted(&request_headers, &secrets);
    let status = response.get("status_code").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let response_head = status.map(|status| ResponseHead { status, headers: redacted(&headers(&response), &secrets) });
    let request_id = request_headers.iter().find(|(name, _)| name == "x-request-id").map(|(_, id)| id.as_str());
    let stamp = ended_at.to_rfc3339();
    let id = derived_id(ended_at, &["record", user.as_str(), &stamp, request_id.unwrap_or_default(), &url]);
    let head = Head {
        id,
        user: user.as_str().to_owned(),
        client: place.client,
        account: None,
        method: request.get("method").and_then(Value::as_str).unwrap_or("POST").to_owned(),
        url,
        request_size: size(&request_headers, &request_body),
        request_headers,
        response_size: size(response_head.as_ref().map_or(&[], |head| &head.headers), &response_body),
        response: response_head,
        ending: Ending::Completed,
        timings: timings(ended_at, took),
    };
    let record = recorded(&head, request_body, response_body, decode_limit);
    Ok(Some(Taken { record: counted(record, kind, editor, spoken, is_stream), client: place.client, bytes }))
}

fn object(fields: &mut Map<String, Value>, key: &str) -> Option<Map<String, Value>> {
    match fields.remove(key) {
        Some(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// What a record's path tells.
struct Place {
    /// The folder above that of the kind has the user's name.
    user: Option<String>,
    /// `completions`, `chat`, or an action such as `chat-panel`.
    kind: Option<String>,
    stamp: Option<DateTime<Utc>>,
    client: IpAddr,
}

impl Place {
    /// `<user>/<kind>/<time>_<machine>_<address>_<editor>[_<action>].json`.
    fn of(path: &Path) -> Self {
        let folder = |path: Option<&Path>| Some(path?.file_name()?.to_str()?.to_owned());
        let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let mut parts = stem.split('_');
        let stamp = parts.next().and_then(|stamp| NaiveDateTime::parse_from_str(stamp, STAMP).ok());
        let client =
            parts.nth(1).and_then(|address| address.parse().or_else(|_| address.replace('-', ":").parse()).ok());
        Self {
            user: folder(path.parent().and_then(Path::parent)),
            kind: folder(path.parent()),
            stamp: stamp.map(|stamp| stamp.and_utc()),
            client: client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        }
    }
}

/// The user's name, and the credentials that tell it. An error shows neither: what is no name may be a password.
fn user(fields: &Map<String, Value>, place: &Place) -> Result<(UserName, String), String> {
    let told = fields.get("proxy-authorization").and_then(Value::as_str).unwrap_or_default();
    let name = match told.split_once(':').map_or(told, |(name, _)| name) {
        "" => place.user.as_deref().unwrap_or_default(),
        name => name,
    };
    let name =
        name.parse::<UserName>().map_err(|error| format!("its user has no name that copilens can have: {error}"))?;
    Ok((name, told.to_owned()))
}

fn ended_at(fields: &Map<String, Value>, place: &Place) -> Result<DateTime<Utc>, String> {
    let told = fields.get("timestamp").and_then(Value::as_str);
    let told = told.and_then(|told| NaiveDateTime::parse_from_str(told, TIMESTAMP).ok()).map(|told| told.and_utc());
    let ended_at = told.or(place.stamp).ok_or("neither `timestamp` nor its name tells its time")?;
    may_be(ended_at.date_naive()).then_some(ended_at).ok_or_else(|| NO_DAY.to_owned())
}

/// Kind and URL, by the add-on's own rules: what asks an engine is a completion, and the rest is chat, next-edit suggestions
/// included.
fn asked(request: &Map<String, Value>, place: &Place) -> Result<(Kind, String), String> {
    let url = request.get("url").and_then(Value::as_str).unwrap_or_default();
    let is_engines = url.split_once("/engines/").is_some_and(|(_, rest)| rest.contains("/completions"));
    let is_agents = url.split_once("/agents/").is_some_and(|(_, rest)| rest.contains("chat"));
    let kind = match place.kind.as_deref() {
        _ if is_engines || url.contains("copilot-codex/completions") => Kind::Completions,
        _ if is_agents || url.contains("chat/completions") => Kind::Chat,
        Some("completions") if url.is_empty() => Kind::Completions,
        Some("chat") if url.is_empty() => Kind::Chat,
        _ => return Err("no record: its URL is none that the add-on recorded".to_owned()),
    };
    Ok((kind, redact::url(url)))
}

fn headers(message: &Map<String, Value>) -> Map<String, Value> {
    message.get("headers").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Header fields as [`redact::headers`] has them, without the user's password.
fn redacted(headers: &Map<String, Value>, secrets: &Secrets) -> Vec<(String, String)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        if let (Ok(name), Some(value)) = (name.parse::<HeaderName>(), value) {
            let _ = map.try_append(name, value);
        }
    }
    let text = |value: String| String::from_utf8(secrets.out_of(value.into_bytes(), |_| {})).unwrap_or_default();
    redact::headers(&map).into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// The user's password in the forms in which a text may have it.
struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    fn of(credentials: &str) -> Self {
        let password = credentials.split_once(':').map(|(_, password)| password);
        let Some(password) = password.filter(|password| password.len() >= SHORTEST_PASSWORD) else {
            return Self(Vec::new());
        };
        let in_json = Value::from(password).to_string();
        let in_json = in_json.trim_matches('"').as_bytes().to_vec();
        Self(vec![BASE64_STANDARD.encode(credentials).into_bytes(), in_json, password.as_bytes().to_vec()])
    }

    /// The text without them, and without what `redact` finds.
    fn out_of(&self, mut text: Vec<u8>, redact: impl Fn(&mut [u8])) -> Vec<u8> {
        for secret in &self.0 {
            let places: Vec<usize> = memmem::find_iter(&text, secret).collect();
            for place in places {
                // Of the same length, so the text stays JSON.
                if let Some(found) = text.get_mut(place..place + secret.len()) {
                    found.fill(b'*');
                }
            }
        }
        redact(&mut text);
        text
    }
}

/// The size that was on the wire, where the header tells it.
fn size(headers: &[(String, String)], body: &[u8]) -> BodySize {
    let told = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, length)| length.parse().ok());
    BodySize { bytes: told.unwrap_or(body.len() as u64), truncated: false }
}

/// `188.35ms`; none where it is missing.
fn milliseconds(time_consumed: Option<&Value>) -> Option<Duration> {
    let milliseconds: f64 = time_consumed?.as_str()?.trim().strip_suffix("ms")?.parse().ok()?;
    Duration::try_from_secs_f64(milliseconds / 1000.0).ok().filter(|took| took.as_secs() < 24 * 60 * 60)
}

fn timings(ended_at: DateTime<Utc>, took: Option<Duration>) -> Timings {
    let took = took.unwrap_or_default();
    Timings {
        started_at: ended_at
            .checked_sub_signed(chrono::TimeDelta::from_std(took).unwrap_or_default())
            .unwrap_or(ended_at),
        ended_at,
        first_byte_us: None,
        duration_us: u64::try_from(took.as_micros()).unwrap_or_default(),
    }
}

/// The record of the exchange. The add-on kept decoded bodies beside the headers of coded ones.
fn recorded(head: &Head, request_body: Vec<u8>, response_body: Vec<u8>, decode_limit: usize) -> Record {
    let mut decoded = head.clone();
    let is_other = |(name, _): &(String, String)| name != "content-encoding";
    decoded.request_headers.retain(is_other);
    if let Some(response) = &mut decoded.response {
        response.headers.retain(is_other);
    }
    let exchange = Exchange { head: decoded, request_body: request_body.into(), response_body: response_body.into() };
    let understanding = understand(&exchange, decode_limit);
    Record::new(head, understanding, &Verdict { class: Class::Turn, reason: None, awaits_display: false })
}

/// Books the record as the add-on counted it.
fn counted(mut record: Record, kind: Kind, editor: String, language: Option<String>, is_stream: bool) -> Record {
    record.reason = Some(IMPORTED.to_owned());
    record.counted_as = Some(CountedAs { editor });
    let is_completion = record.feature == Feature::CodeCompletion.as_str();
    match kind {
        Kind::Completions => {
            record.language = language;
            record.feature = Feature::CodeCompletion.as_str().to_owned();
        }
        // A next-edit suggestion.
        Kind::Chat if is_completion => record.feature = Feature::Others.as_str().to_owned(),
        Kind::Chat => {}
    }
    record.kind = kind;
    if is_stream {
        record.problems.push("response_without_blanks".to_owned());
    }
    record
}
