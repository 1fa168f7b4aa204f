//! Connections to servers: their limits, failures and the parent proxy.
