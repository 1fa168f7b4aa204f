//! Parses arguments, runs the command, and maps its error to an exit code.

use std::process::ExitCode;

/// Many small buffers and JSON values live for one exchange each and are freed on another thread than made; the bench has
/// the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    copilens::cli::main()
}
