//! The configuration: `copilens.toml`, the allowlist, and the variables of the environment that override keys.
//!
//! A configuration is used whole or not at all: [`Sources`] finds every fault of all files at once, each with file and
//! line, and what it loads needs no further checks. [`Live`] holds it for the running proxy and reloads it on change.

mod allowlist;
pub mod allowlist_edit;
mod endpoints;
mod fault;
mod hosts;
mod live;
mod load;
mod networks;
mod postgres_url;
mod reader;
mod settings;
mod settings_file;
pub mod tokens;
mod user_auth;

pub use allowlist::{Allowlist, Team};
pub use endpoints::{HostPort, ParentProxy, ReachedAt};
pub use fault::{Error, Fault, nearest};
pub(crate) use hosts::is_host_name;
pub use hosts::{HostPattern, OtherHosts, Resolve};
pub use live::Live;
pub use load::{DEFAULT_PATH, Loaded, Sources};
pub use networks::Networks;
pub use postgres_url::PostgresUrl;
pub use reader::Environment;
pub use settings::{
    Admin, Auth, Capture, Certs, Compat, Intercept, Metrics, Noise, OnFailure, Records, Reports, Settings, Store,
    StoreUrl, Unknown, Upstream,
};
pub use tokens::Tokens;
pub use user_auth::write_user_auth;

pub use crate::identity::Content;
