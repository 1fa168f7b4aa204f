//! Understanding an exchange, before or after the spool, whatever is in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::copilot::{self, Understanding};
use crate::exchange::Exchange;

/// What the exchange turned out to be; each body decoded to at most `decode_limit` bytes.
///
/// A fault in the code that reads bodies must cost neither the record nor the recorder: the exchange is then understood
/// from its head alone.
pub(super) fn understand(exchange: &Exchange, decode_limit: usize) -> Understanding {
    catch_unwind(AssertUnwindSafe(|| copilot::understand(exchange, decode_limit))).unwrap_or_else(|_| {
        tracing::error!(id = %exchange.head.id, "an exchange could not be understood; its bodies are left out. Please report this");
        let head = exchange.head.clone();
        copilot::understand(&Exchange { head, request_body: bytes::Bytes::new(), response_body: bytes::Bytes::new() }, 0)
    })
}

/// The same without the texts of prompt and answer.
pub(super) fn without_content(understanding: Understanding) -> Understanding {
    Understanding { request_content: serde_json::Value::Null, response_content: Vec::new(), ..understanding }
}
