//! `RIPOST_*`: what the command line takes from the environment, and what it says about it.

use crate::environment;
use crate::keyring::master_key;
use crate::nearest::nearest;
use crate::telemetry;
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Command, Error};
use std::collections::BTreeSet;

const PREFIX: &str = "RIPOST_";
/// Those that no flag stands for.
const WITHOUT_FLAG: [&str; 3] = [telemetry::FILTER_VARIABLE, master_key::VARIABLE, ripost_store::failpoint::VARIABLE];

/// The command line with our rules for variables: an empty one is not set, and a switch is `1` or `0`, or what else people
/// write for that.
pub(super) fn prepared(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        let arg = if value.is_some_and(|value| value.is_empty()) { arg.env(Resettable::Reset) } else { arg };
        if matches!(arg.get_action(), ArgAction::SetTrue) { arg.value_parser(switch) } else { arg }
    });
    command.mut_subcommands(prepared)
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("write 1 or 0 (true, yes, on, false, no and off are the same)"),
    }
}

/// A switch that is set in the environment, to either; what it cannot be, the command line has refused by then.
pub(super) fn switched(name: &str) -> Option<bool> {
    environment::value(name).and_then(|value| switch(&value).ok())
}

/// The same error, and what is wrong is the variable where the value came from one.
pub(super) fn blame(mut error: Error, command: &Command, arguments: &[String]) -> Error {
    // Of text that is not UTF-8 clap does not say whose it is. The arguments have a replacement for such bytes.
    if error.kind() == ErrorKind::InvalidUtf8 && !arguments.iter().any(|argument| argument.contains('\u{fffd}')) {
        let is_unreadable = |name: &String| std::env::var_os(name).is_some_and(|value| value.into_string().is_err());
        if let Some(name) = known(command).into_iter().find(is_unreadable) {
            return Error::raw(ErrorKind::InvalidUtf8, format!("the value of {name} is not UTF-8 text\n"))
                .with_cmd(command);
        }
    }
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        let Some(ContextValue::String(flag)) = error.get(kind) else { continue };
        let flag = flag.split([' ', '=', '[']).next().unwrap_or_default();
        let is_given = arguments.iter().any(|argument| argument.split('=').next() == Some(flag));
        let variable = flag.strip_prefix("--").and_then(|long| variable_of(long, command));
        if let (Some(variable), false) = (variable, is_given) {
            error.insert(kind, ContextValue::String(variable));
        }
    }
    error
}

fn variable_of(long: &str, command: &Command) -> Option<String> {
    let own = command.get_arguments().filter(|arg| arg.get_long() == Some(long)).find_map(|arg| arg.get_env());
    let name = own.map(|name| name.to_string_lossy().into_owned());
    name.or_else(|| command.get_subcommands().find_map(|command| variable_of(long, command)))
}

/// All variables that something reads.
pub(super) fn known(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_env()).map(|name| name.to_string_lossy().into_owned());
    let below = command.get_subcommands().flat_map(known);
    own.chain(below).chain(WITHOUT_FLAG.map(str::to_owned)).collect()
}

/// A line for each variable of this process that looks like one of ours and that nothing reads.
pub(super) fn unknown(known: &BTreeSet<String>) -> Vec<String> {
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    unknown_of(set.filter_map(|(name, _)| name.into_string().ok()), known)
}

fn unknown_of(names: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<String> {
    let unknown = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name) && !is_of_a_link(name));
    let short = |name: &str| name.trim_start_matches(PREFIX).to_ascii_lowercase();
    let candidates: Vec<(String, &String)> = known.iter().map(|name| (short(name), name)).collect();
    let line = |name: String| {
        let nearest = nearest(&short(&name), candidates.iter().map(|(short, _)| short.as_str()));
        match candidates.iter().find(|(short, _)| Some(short.as_str()) == nearest) {
            Some((_, meant)) => format!("the variable {name} is not known and ignored; did you mean {meant}?"),
            None => format!(
                "the variable {name} is not known and ignored; most settings belong in ripost.toml, `ripost config show` lists them"
            ),
        }
    };
    unknown.map(line).collect()
}

/// Kubernetes and container links make these of a service that is called `ripost`, or `ripost-` and more.
fn is_of_a_link(name: &str) -> bool {
    let rest = name.trim_start_matches(PREFIX);
    let has = |word: &str| rest.starts_with(&format!("{word}_")) || rest.contains(&format!("_{word}_"));
    has("SERVICE") || has("PORT") || rest == "PORT" || rest.ends_with("_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn a_switch_is_what_people_write_for_yes_and_no() {
        for (text, on) in
            [("1", true), ("TRUE", true), ("yes", true), ("On", true), ("0", false), ("False", false), ("NO", false)]
        {
            assert_eq!(switch(text), Ok(on), "{text}");
        }
        for text in ["", "2", "maybe", " "] {
            assert!(switch(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_variable_is_told_with_the_one_that_was_meant() {
        let known = ["RIPOST_LISTEN", "RIPOST_ADMIN_LISTEN", "RIPOST_DATA"].map(str::to_owned).into();
        let told = |name: &str| unknown_of(std::iter::once(name.to_owned()), &known);
        for (name, meant) in [
            ("RIPOST_LISTNE", "RIPOST_LISTEN"),
            ("RIPOST_ADMINLISTEN", "RIPOST_ADMIN_LISTEN"),
            ("RIPOST_DAT", "RIPOST_DATA"),
        ] {
            let told = told(name).join("\n");
            assert!(told.contains(name) && told.contains(&format!("mean {meant}?")), "{told}");
        }
        assert!(told("RIPOST_RUNS_CONCURRENCY").join("\n").contains("ripost.toml"));
        for name in [
            "RIPOST_LISTEN",
            "RIPOSTE",
            "PATH",
            "RIPOST_SERVICE_HOST",
            "RIPOST_SERVICE_PORT_HTTP",
            "RIPOST_PORT",
            "RIPOST_PORT_3000_TCP_ADDR",
            "RIPOST_ADMIN_SERVICE_HOST",
            "RIPOST_ADMIN_PORT_3001_TCP",
        ] {
            assert!(told(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn an_error_names_the_variable_unless_the_flag_was_given() {
        let number = || Arg::new("number").long("number").env("RIPOST_NUMBER").value_parser(clap::value_parser!(u8));
        let command = Command::new("ripost").subcommand(Command::new("serve").arg(number()));
        let text = |given: &[&str]| {
            let arguments: Vec<String> = ["ripost", "serve"].iter().chain(given).map(|&text| text.to_owned()).collect();
            // As clap words it when the value is the variable's.
            let error = command.clone().try_get_matches_from(["ripost", "serve", "--number", "x"]).unwrap_err();
            blame(error, &command, &arguments).to_string()
        };
        assert!(text(&[]).contains("'x' for 'RIPOST_NUMBER'"), "{}", text(&[]));
        assert!(text(&["--number", "x"]).contains("'x' for '--number"), "{}", text(&["--number", "x"]));
        assert!(text(&["--number=x"]).contains("'x' for '--number"));
    }
}
