//! First start, reload, drain, health, and the commands beside a running proxy.
