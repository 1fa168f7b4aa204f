//! Requests that change the protocol on their connection.
