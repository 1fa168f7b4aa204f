//! The command line: one file a command. Results go to standard output, everything else to standard error.

mod ca;
mod check;
#[cfg(feature = "sim")]
mod demo;
mod env;
mod export;
mod forget;
mod import;
mod logging;
mod rebuild;
mod report;
mod run;
mod tokens;
mod users;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use chrono::Utc;
use clap::{Parser, Subcommand};

use crate::app::StartError;
use crate::config::{self, Environment, Settings, Sources};
use crate::store;

/// Wrong use of the command line (`EX_USAGE`, sysexits.h).
const USAGE: u8 = 64;
/// Input or output failed (`EX_IOERR`).
const IO: u8 = 74;
/// The configuration is faulty (`EX_CONFIG`).
const CONFIG: u8 = 78;

/// Records and accounts a team's GitHub Copilot traffic: an HTTPS intercepting proxy.
#[derive(Debug, Parser)]
#[command(name = "copilens", version, arg_required_else_help = true)]
struct Arguments {
    /// Configuration file [default: config/copilens.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the proxy and the admin listener
    Run,
    /// Check configuration, allowlist, CA and store; every fault at once, nothing is started
    Check,
    /// The allowlist: who may pass, and their passwords
    #[command(subcommand)]
    Users(Users),
    /// Bearer tokens for the admin listener
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// A user's client settings, ready to paste
    Env {
        /// The user
        name: String,
        /// One client alone
        #[arg(long = "for", value_name = "CLIENT")]
        client: Option<env::Client>,
    },
    /// The certificate that clients must trust
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Usage as a table
    Report(report::ReportArgs),
    /// Usage for other programs: tables, events, Parquet
    Export(export::Arguments),
    /// Make days anew from their record files
    Rebuild(rebuild::Arguments),
    /// Take over what the mitmproxy add-on recorded and counted
    Import(import::Arguments),
    /// Remove all that is kept of a person's exchanges; anonymous totals stay. Needs the log folder to itself: stop `run` first
    Forget(forget::Arguments),
    /// See it work: a fake Copilot and simulated developers through the real proxy
    #[cfg(feature = "sim")]
    Demo(demo::Arguments),
}

#[derive(Debug, Subcommand)]
enum Users {
    /// Show the allowlist
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let somebody through
    Add {
        /// 1 to 64 of A-Z a-z 0-9 . _ @ + -
        name: String,
    },
    /// Refuse somebody from now on
    Remove {
        /// The user
        name: String,
    },
    /// Print a user's password
    Password {
        /// The user
        name: String,
    },
    /// Give a user a new password
    Rotate {
        /// The user
        name: String,
    },
}

/// What ends a command early: a message for the terminal and an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self { code: exit_code(&error), message: format!("{error:#}") }
    }
}

/// Errors that are not listed are those of files and sockets.
fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<StartError>() {
        return error.exit_code();
    }
    if let Some(error) = error.downcast_ref::<config::Error>() {
        return error.exit_code();
    }
    if let Some(error) = error.downcast_ref::<crate::certs::CaError>() {
        return error.exit_code();
    }
    if let Some(error) = error.downcast_ref::<config::allowlist_edit::EditError>() {
        return error.exit_code();
    }
    if let Some(error) = error.downcast_ref::<config::tokens::TokenError>() {
        return error.exit_code();
    }
    if error.downcast_ref::<crate::identity::NameError>().is_some() { USAGE } else { IO }
}

/// Runs the command that the process's arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no faults.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let sources = Sources::new(arguments.config, Environment::of_process());
    match run(arguments.command, sources) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "copilens: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command, sources: Sources) -> Result<(), Failure> {
    let out = &mut io::stdout().lock();
    match command {
        Command::Run => run::run(sources),
        Command::Check => check::run(&sources, out),
        Command::Users(command) => Ok(users(&command, &sources.settings()?, out)?),
        Command::Tokens(command) => Ok(command.run(&sources.settings()?, Utc::now(), out)?),
        Command::Env { name, client } => Ok(env::print(&sources.settings()?, &name, client, out)?),
        Command::Ca(command) => Ok(command.run(&sources.settings()?.certs.dir, out)?),
        Command::Report(arguments) => {
            let store = store::open::to_read(&sources.settings()?)?;
            Ok(report::report(&*store, &arguments, Utc::now().date_naive(), terminal_width(), out)?)
        }
        Command::Export(arguments) => export::run(&arguments, &sources, Utc::now().date_naive()),
        Command::Rebuild(arguments) => rebuild::run(&arguments, &sources, out),
        Command::Import(arguments) => import::run(&arguments, &sources, out),
        Command::Forget(arguments) => forget::run(&arguments, &sources, out),
        #[cfg(feature = "sim")]
        Command::Demo(arguments) => demo::run(&arguments, out),
    }
}

/// The width of standard output, where it is a terminal.
fn terminal_width() -> Option<u16> {
    comfy_table::Table::new().width()
}

fn users(command: &Users, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Users::List { json } => users::list(settings, *json, out),
        Users::Add { name } => users::add(settings, name, out),
        Users::Remove { name } => users::remove(settings, name, out),
        Users::Password { name } => users::password(settings, name, out),
        Users::Rotate { name } => users::rotate(settings, name, out),
    }
}
