//! The command line: one file a command. What fails is one clear line, with an exit code that says whose turn it is.

mod api;
mod check;
mod client;
pub(crate) use client::ADMIN_ADDRESS_FILE;
mod compile_worker;
mod config;
mod consumer;
mod deliveries;
mod doctor;
mod erase;
mod failure;
mod ledger;
mod limits;
mod listen;
mod out;
mod owners;
mod plugins;
mod push;
mod reload;
mod replay;
mod requests;
mod revisions;
mod rollback;
mod runs;
mod secrets;
mod serve;
mod status;
mod test;
mod tokens;
mod upstream;
mod variables;
mod verify;
mod webhook_test;

use crate::config::{Config, Overrides, gateway_url, listen_address};
use anyhow::Error;
use camino::Utf8PathBuf;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use failure::{Exit, Failure};
use out::note;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;
use url::Url;

/// A self-hosted gateway for APIs that take longer than a connection should stay open.
#[derive(Parser)]
#[command(name = "ripost", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the gateway
    Serve(serve::Serve),
    /// Show what a running gateway has loaded and how much waits
    Status(status::Status),
    /// Add and list those who may call, and subscribe them
    #[command(subcommand, alias = "consumer")]
    Consumers(consumer::Command),
    /// List the APIs that serve; pause and resume one
    #[command(subcommand)]
    Api(api::Command),
    /// Add, list and remove tokens of operators and owners
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// List requests, and show one with its runs, logs, steps and webhooks
    #[command(subcommand)]
    Requests(requests::Command),
    Owners(owners::Owners),
    /// List, show and send again what was not delivered
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Send a signed test webhook and show what came of it
    WebhookTest(webhook_test::WebhookTest),
    /// Set, list and remove secrets of owners' components
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// Owners' own services that requests are forwarded to
    #[command(subcommand)]
    Upstream(upstream::Command),
    Push(push::Push),
    /// Erase a request, or a consumer with all of its requests; the ledger stays
    #[command(subcommand)]
    Erase(erase::Command),
    /// Show the runs of a request and what they used
    Runs(runs::Runs),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
    Limits(limits::Limits),
    Check(check::Check),
    Test(test::Test),
    Replay(replay::Replay),
    Reload(reload::Reload),
    Rollback(rollback::Rollback),
    Revisions(revisions::Revisions),
    /// List, stop, start and remove plugins; print the schema of a manifest
    #[command(subcommand)]
    Plugins(plugins::Command),
    Doctor(doctor::Doctor),
    /// Check the books of a data folder
    #[command(subcommand)]
    Ledger(ledger::Command),
    Listen(Box<listen::Listen>),
    Verify(verify::Verify),
    #[command(hide = true)]
    CompileWorker(compile_worker::CompileWorker),
}

/// Options that every command that reads the configuration takes.
#[derive(Args, Clone)]
struct Common {
    /// Configuration file [default: ./ripost.toml if it is there]
    #[arg(long, env = "RIPOST_CONFIG", value_name = "FILE", global = true)]
    config: Option<Utf8PathBuf>,
    /// Data folder [default: ./ripost-data]
    #[arg(long, env = "RIPOST_DATA", value_name = "DIR", global = true)]
    data: Option<Utf8PathBuf>,
}

/// Options that only a gateway that is to be started takes.
#[derive(Args, Clone, Default)]
struct Listening {
    /// Address of the data plane, such as localhost:3000 or 0.0.0.0:80 [default: 127.0.0.1:3000]
    #[arg(long, env = "RIPOST_LISTEN", value_name = "ADDRESS", value_parser = listen_address)]
    listen: Option<SocketAddr>,
    /// Address of /admin/v1 and /metrics [default: that of the data plane]
    #[arg(long, env = "RIPOST_ADMIN_LISTEN", value_name = "ADDRESS", value_parser = listen_address)]
    admin_listen: Option<SocketAddr>,
    /// Folder that is watched for plugins [default: ./plugins]
    #[arg(long, env = "RIPOST_PLUGINS", value_name = "DIR")]
    plugins: Option<Utf8PathBuf>,
    /// What the outside calls this gateway [default: http:// and the listen address]
    #[arg(long, env = "RIPOST_PUBLIC_URL", value_name = "URL", value_parser = gateway_url)]
    public_url: Option<Url>,
    /// Development mode: owner `demo`, a well-known key with a balance, webhooks to this machine over plain HTTP
    #[arg(long, env = "RIPOST_DEV")]
    dev: bool,
    /// Let development mode listen beyond loopback
    #[arg(long, env = "RIPOST_DEV_EXPOSE")]
    dev_expose: bool,
}

impl Common {
    fn load(&self, listening: Listening) -> Result<Config, Failure> {
        let overrides = Overrides {
            listen: listening.listen,
            admin_listen: listening.admin_listen,
            data: self.data.clone(),
            plugins: listening.plugins,
            public_url: listening.public_url,
            dev: listening.dev.then_some(true).or_else(|| variables::switched("RIPOST_DEV")),
            dev_expose: listening.dev_expose.then_some(true).or_else(|| variables::switched("RIPOST_DEV_EXPOSE")),
        };
        Config::load(self.config.as_deref(), overrides).map_err(Failure::from)
    }
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|text| text.to_string_lossy().into_owned()).collect();
    let known = variables::known(&Cli::command());
    let mut command = variables::prepared(Cli::command());
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|matches| Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command)));
    let unknown = variables::unknown(&known);
    let cli = match parsed.map_err(|error| variables::blame(error, &command, &arguments)) {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            if error.use_stderr() {
                return ExitCode::from(Exit::Configuration as u8);
            }
            // Help and version are no errors.
            return match printed.err().filter(|error| error.kind() != ErrorKind::BrokenPipe) {
                Some(error) => unprinted(error).print(),
                None => ExitCode::SUCCESS,
            };
        }
    };
    // A gateway has a log for that, and what starts a compiler has said so.
    if !matches!(cli.command, Command::Serve(_) | Command::CompileWorker(_)) {
        unknown.iter().for_each(|line| note!("ripost: {line}"));
    }
    let done = match cli.command {
        Command::Serve(command) => command.run(&unknown),
        Command::Status(command) => command.run(),
        Command::Consumers(command) => command.run(),
        Command::Api(command) => command.run(),
        Command::Tokens(command) => command.run(),
        Command::Requests(command) => command.run(),
        Command::Owners(command) => command.run(),
        Command::Deliveries(command) => command.run(),
        Command::WebhookTest(test) => test.run(),
        Command::Secrets(command) => command.run(),
        Command::Upstream(command) => command.run(),
        Command::Erase(command) => command.run(),
        Command::Push(command) => command.run(),
        Command::Runs(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Limits(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Reload(command) => command.run(),
        Command::Rollback(command) => command.run(),
        Command::Revisions(command) => command.run(),
        Command::Plugins(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Ledger(command) => command.run(),
        Command::Listen(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::CompileWorker(command) => return command.run(),
    };
    let done = done.and_then(|()| match out::failure() {
        Some(error) => Err(unprinted(error)),
        None => Ok(()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(),
    }
}

fn unprinted(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(Exit::CannotWrite, Error::new(error).context("writing to standard output"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command, with the arguments that it has of those above it.
    fn walk(command: &clap::Command, seen: &mut impl FnMut(&clap::Command)) {
        seen(command);
        command.get_subcommands().for_each(|below| walk(below, seen));
    }

    #[test]
    fn the_arguments_are_consistent_and_each_is_there_once() {
        let mut command = Cli::command();
        command.build();
        // Without debug assertions clap looks at none of this.
        walk(&command, &mut |command| {
            let longs: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
            let different: std::collections::BTreeSet<&str> = longs.iter().copied().collect();
            assert_eq!(longs.len(), different.len(), "{}: {longs:?}", command.get_name());
        });
    }
}
