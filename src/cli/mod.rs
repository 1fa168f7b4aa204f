//! (under construction)

pub mod report;
