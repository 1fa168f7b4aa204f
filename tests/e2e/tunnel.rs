//! What happens inside an intercepted tunnel, and what must not.
