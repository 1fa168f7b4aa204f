//! Who is asking: user names that are safe as folder names, Basic credentials, passwords derived from one seed, and the
//! directory that admission asks.
//!
//! Nothing here knows of the network or of the configuration's files; [`crate::config`] builds a [`Directory`] from them.

pub mod basic;
mod content;
mod directory;
mod legacy;
mod name;
mod password;
pub mod secret_file;
mod seed;
mod token;

pub use content::Content;
pub(crate) use directory::ANONYMOUS;
pub use directory::{Account, Directory, User};
pub use name::{NameError, UserName};
pub use password::{Password, Scheme};
pub use seed::Seed;
pub use token::{Scope, ScopeError, Token, TokenDigest};
