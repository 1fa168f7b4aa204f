//! (under construction)

pub mod env;
pub mod report;
pub mod users;
