//! What Copilot traffic means.

pub mod vocabulary;
