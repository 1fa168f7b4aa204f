//! Removes secrets.
