//! Understanding an exchange, before or after the spool, whatever is in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::Uri;

use crate::copilot::observation::{Account, Notice};
use crate::copilot::{self, Capture, Understanding};
use crate::exchange::Exchange;
use crate::identity::Seed;
use crate::spool::Told;

/// What the exchange turned out to be; each body decoded to at most `decode_limit` bytes.
///
/// A fault in the code that reads bodies must cost neither the record nor the recorder: the exchange is then understood
/// from its head alone.
pub(super) fn understand(exchange: &Exchange, decode_limit: usize) -> Understanding {
    guarded(exchange, || copilot::understand(exchange, decode_limit)).unwrap_or_else(|| {
        let head = exchange.head.clone();
        copilot::understand(
            &Exchange { head, request_body: bytes::Bytes::new(), response_body: bytes::Bytes::new() },
            0,
        )
    })
}

/// What a request that is no exchange with a model told.
pub(super) fn told(exchange: &Exchange, purpose: Capture, seed: &Seed, decode_limit: usize) -> Told {
    let read = || match purpose {
        Capture::Account => {
            Told { notice: Notice::Account(account(exchange, seed, decode_limit)), unrecognised: vec![] }
        }
        _ => {
            let body = copilot::decode(&exchange.request_body, &exchange.head.request_coding(), decode_limit);
            let reported = copilot::telemetry(&body.bytes);
            let notice = if reported.from_editor { Notice::Telemetry } else { Notice::CliTelemetry };
            Told { notice: notice(reported.observations), unrecognised: reported.unrecognised }
        }
    };
    guarded(exchange, read)
        .unwrap_or_else(|| Told { notice: Notice::Account(Account::default()), unrecognised: Vec::new() })
}

fn account(exchange: &Exchange, seed: &Seed, decode_limit: usize) -> Account {
    let head = &exchange.head;
    let body = copilot::decode(&exchange.response_body, &head.response_coding(), decode_limit);
    let path = head.url.parse::<Uri>().map(|url| url.path().to_owned()).unwrap_or_default();
    let seen = copilot::account(&path, &body.bytes);
    let Some(seen) = seen.filter(|_| head.status() == Some(200)) else { return Account::default() };
    let key = seen.tracking_id.map(|tracking_id| seed.account_key(&tracking_id)).or_else(|| head.account.clone());
    Account { key, ..seen.account }
}

/// A fault in the code that reads bodies must cost neither the record nor the recorder.
fn guarded<T>(exchange: &Exchange, read: impl FnOnce() -> T) -> Option<T> {
    let read = catch_unwind(AssertUnwindSafe(read)).ok();
    if read.is_none() {
        tracing::error!(id = %exchange.head.id, "an exchange could not be understood; its bodies are left out. Please report this");
    }
    read
}
