//! (under construction)

pub mod ca;
pub mod env;
pub mod report;
pub mod users;
