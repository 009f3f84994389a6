//! The program: command line to commands, and the exit code.

fn main() {}
