//! The program `ripost`.

fn main() -> std::process::ExitCode {
    ripost::cli::main()
}
