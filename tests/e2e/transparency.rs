//! A client's bytes and headers are what they would be without the proxy.
