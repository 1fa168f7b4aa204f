//! The install page and the downloads, through the proxy and beside it.
