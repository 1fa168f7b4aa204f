//! What becomes a record, a count, or noise.
