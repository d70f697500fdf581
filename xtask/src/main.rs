//! `cargo xtask …`: one way to do each thing, the same for a person and for CI.
//!
//! **Invariant**: xtask builds, starts and looks at what the repository makes; nothing that is shipped depends on it.

mod bench;
mod demo;
mod guests;
mod process;
mod products;
mod setup;
mod terminal;
mod test;

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and show Ripost")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch what builds and tests need, if it is missing
    Setup,
    /// Build every plugin of examples/ and tests/guests/ into target/plugins/
    Guests,
    /// Show the first call: 202 at once, the signed webhook, a new revision without a restart
    Demo {
        /// End when everything was shown, instead of leaving the gateway running
        #[arg(long)]
        once: bool,
        /// Address of the gateway
        #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
    /// Check everything, as CI does
    Test {
        /// Only these steps
        #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = test::step_names())]
        only: Vec<String>,
        /// All but these steps
        #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = test::step_names())]
        skip: Vec<String>,
    },
    /// Measure this machine and write BENCHMARKS.md
    Bench {
        /// Short rounds, for a look; BENCHMARKS.md stays as it is
        #[arg(long)]
        quick: bool,
        /// Only these parts
        #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = bench::part_names())]
        only: Vec<String>,
        /// Another build of `ripost`, by turns with today's, in place of the parts; BENCHMARKS.md stays as it is
        #[arg(long, value_name = "BINARY")]
        against: Option<camino::Utf8PathBuf>,
    },
    /// The peer that the bench starts: an HTTP server that answers what it was asked
    #[command(hide = true)]
    BenchEcho,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup => terminal::task("setup", products::peers),
        Task::Guests => build_guests(),
        Task::Demo { once, listen } => demo::run(once, listen),
        Task::Test { only, skip } => test::run(&only, &skip),
        Task::Bench { quick, only, against } => bench::run(quick, &only, against.as_deref()),
        Task::BenchEcho => bench::serve_echo(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build_guests() -> Result<()> {
    for plugin in terminal::task("guests", products::plugins)? {
        let guests::BuiltPlugin { name, dir, components, took } = plugin;
        println!("{name}: {dir}, in {}", terminal::seconds(took));
        for guests::BuiltComponent { path, digest, size_bytes, imports } in components {
            println!("  {}: {size_bytes} bytes, sha256 {digest}", path.file_name().unwrap_or_default());
            println!("    imports {}", imports.join(", "));
        }
    }
    Ok(())
}
