//! Who may pass, on every way in.
