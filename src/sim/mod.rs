//! A fake Copilot and simulated developers: what `copilens demo`, the end-to-end tests and the benches talk to.
//!
//! Everything here speaks over real sockets and real TLS, so that what is proven with it is proven of the proxy and not
//! of a mock. Runs repeat: all that looks random comes from a seed. Nothing here knows the rest of the crate.
//!
//! - [`copilot`]: a Copilot that gives believable answers and misbehaves on request.
//! - [`raw`]: an origin that sends any bytes a test wants, for what an HTTP library would refuse to send.
//! - [`client`]: a client that goes through a proxy, or past it.
//! - [`ide`]: developers at work in VS Code and JetBrains editors.
//! - [`websocket`]: one side of a WebSocket.
//! - [`tls`]: the authority that the fakes' certificates come from.

pub mod client;
pub mod copilot;
mod corpus;
pub mod ide;
pub mod raw;
pub mod rng;
pub mod tls;
pub mod websocket;
