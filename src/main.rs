//! Parses arguments, runs the command, and maps its error to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    copilens::cli::main()
}
