//! What a client saw finish is recorded once, whatever happens to the process.
