//! A way in for `tests/fuzz`, which is a crate of its own and sees what is public alone.

use http::Uri;

use super::target::Origin;

/// Host, port and one text of both for the target of a CONNECT; `None` where it is no destination.
#[must_use]
pub fn connect_destination(target: &Uri) -> Option<(String, u16, String)> {
    let origin = Origin::of_connect(target)?;
    Some((origin.host.to_string(), origin.port, origin.to_string()))
}
