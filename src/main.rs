//! The program: command line to commands, and the exit code. Nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    emailproxy::commands::main()
}
