//! The program `ripost` with its failpoints, for the crash tests.

fn main() -> std::process::ExitCode {
    ripost::cli::main()
}
