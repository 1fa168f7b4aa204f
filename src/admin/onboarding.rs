//! What a user needs to connect, and which of the proxy's addresses to show to whom.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::header::HOST;
use axum::http::request::Parts;

use super::address::ProxyAddress;
use crate::certs::CaCertificate;
use crate::config::ReachedAt;

/// The facts that the install page and the downloads tell.
#[derive(Clone, Debug)]
pub struct Onboarding {
    /// The CA that users have to trust.
    pub ca: CaCertificate,
    /// The proxy's listener, as bound.
    pub listen: SocketAddr,
    /// Setting `public_address`: shown instead of what the user reached.
    pub public_address: Option<ProxyAddress>,
    /// Setting `intercept.hosts`: names, or `*.` and a name for everything below it.
    pub intercept_hosts: Vec<String>,
    /// Whether the text of prompts and answers is kept (setting `capture.content`).
    pub prompts_kept: bool,
    /// Whether the allowlist says otherwise of some users.
    pub prompts_differ: bool,
    /// Whether facts are taken from the clients' telemetry (setting `capture.telemetry`).
    pub telemetry_read: bool,
    /// Days for which records are kept (setting `records.retention_days`); 0 means without limit.
    pub retention_days: u32,
}

/// The onboarding facts together with the way in, which decides what a request says about the proxy's address.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) onboarding: Arc<ArcSwap<Onboarding>>,
    pub(super) address: AddressSource,
}

#[derive(Clone, Copy)]
pub(super) enum AddressSource {
    /// Reached directly: the proxy is on the host that the client names.
    HostHeader,
    /// Reached through the proxy: the client names `mitm.it`, which says nothing.
    Proxy,
}

impl Site {
    /// The address to show: the configured one, else the one that this client reached, else the listener's.
    pub(super) fn proxy_address(&self, request: &Parts) -> ProxyAddress {
        let onboarding = self.onboarding.load();
        let configured = onboarding.public_address.clone();
        configured
            .or_else(|| self.reached(request, onboarding.listen.port()))
            .unwrap_or_else(|| onboarding.listen.into())
    }

    fn reached(&self, request: &Parts, proxy_port: u16) -> Option<ProxyAddress> {
        match self.address {
            AddressSource::Proxy => request.extensions.get::<ReachedAt>().map(|reached| reached.0.into()),
            AddressSource::HostHeader => {
                let header = request.headers.get(HOST)?.to_str().ok()?;
                ProxyAddress::of_host_header(header, proxy_port)
            }
        }
    }
}
