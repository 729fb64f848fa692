//! From arguments to an exit code, or to the role that is to be started.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use super::arguments::{Arguments, ClusterCommand, NodeCommand, SecretHelperCommand, SharedCommand, TopCommand};
use super::context::Context;
use super::demo::DemoOptions;
use super::failure::{CommandResult, Failure};
use super::render::Paint;
use super::start::{self, Start};
use super::{
    balance, clusterchecks, completions, configcheck, docs, doctor, health, metamap, secret_helper, settings, simulate, status, stop,
    telemetry, version,
};
use crate::config::{ClusterSettings, Environment, NodeSettings, Role};
use crate::roles;

/// What is left to do after the command line is understood.
#[derive(Debug)]
pub enum Command {
    /// Start the cluster role.
    StartCluster(Box<Start<ClusterSettings>>),
    /// Start the node role.
    RunNode(Box<Start<NodeSettings>>),
    /// Show the demo.
    Demo(DemoOptions),
    /// Nothing: the command was carried out.
    Done(ExitCode),
}

/// Understands the arguments (the first is the name the program was called by) and carries out every command but those that
/// run for long.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = String>, environment: Environment) -> Command {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_else(|| "muster".to_owned());
    let rest: Vec<String> = arguments.collect();
    let invocation = match roles::resolve(&program, &rest, environment.get(roles::ROLE_VARIABLE)) {
        Ok(invocation) => invocation,
        Err(error) => return Command::Done(finish(Err(Failure::unusable(error.to_string())))),
    };
    let parsed = match Arguments::try_parse_from(std::iter::once("muster".to_owned()).chain(invocation.arguments)) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return Command::Done(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
        }
    };
    let colours = !parsed.global.no_color && environment.get("NO_COLOR").is_none() && io::stdout().is_terminal();
    let context = Context { global: parsed.global, environment, told: invocation.role, paint: Paint::new(colours) };
    dispatch(&context, parsed.command)
}

fn dispatch(context: &Context, command: TopCommand) -> Command {
    let done = |result: CommandResult| Command::Done(finish(result));
    match command {
        TopCommand::Demo(options) => {
            let no_colour = context.global.no_color || context.environment.get("NO_COLOR").is_some();
            Command::Demo(DemoOptions { no_colour, ..options })
        }
        TopCommand::Simulate(options) => done(in_form(options.json, simulate::run(&options))),
        TopCommand::Completions { shell } => done(Ok(completions::run(shell))),
        TopCommand::Docs { part } => done(Ok(docs::run(part))),
        TopCommand::Cluster(ClusterCommand::Start(options)) => match start::cluster(context, options) {
            Ok(start) => Command::StartCluster(Box::new(start)),
            Err(failure) => done(Err(failure)),
        },
        TopCommand::Node(NodeCommand::Run(options)) => match start::node(context, options) {
            Ok(start) => Command::RunNode(Box::new(start)),
            Err(failure) => done(Err(failure)),
        },
        TopCommand::Clusterchecks(options) | TopCommand::Cluster(ClusterCommand::Clusterchecks(options)) => {
            let json = options.json;
            done(in_form(json, wait(clusterchecks::run(context, &options))))
        }
        TopCommand::Explain(options) | TopCommand::Cluster(ClusterCommand::Explain(options)) => {
            let command = balance::options::BalanceCommand::Explain(options.subject);
            done(in_form(options.json, wait(balance::run(context, &command, options.json))))
        }
        TopCommand::Doctor(options) | TopCommand::Cluster(ClusterCommand::Doctor(options)) => {
            done(in_form(options.json, wait(doctor::run(context, options))))
        }
        TopCommand::Metamap(options) | TopCommand::Cluster(ClusterCommand::Metamap(options)) => {
            done(in_form(options.json, wait(metamap::run(context, &options))))
        }
        TopCommand::Cluster(ClusterCommand::Shared(command)) => done(shared(context, Some(Role::Cluster), command)),
        TopCommand::Node(NodeCommand::Shared(command)) => done(shared(context, Some(Role::Node), command)),
        TopCommand::Shared(command) => done(shared(context, None, command)),
    }
}

fn shared(context: &Context, role: Option<Role>, command: SharedCommand) -> CommandResult {
    match command {
        SharedCommand::Status(options) => in_form(options.json || options.pretty_json, wait(status::run(context, role, &options))),
        SharedCommand::Health(options) => in_form(options.json, wait(health::run(context, role, options))),
        SharedCommand::Configcheck(options) => in_form(options.json, wait(configcheck::run(context, role, options))),
        SharedCommand::Config(options) => in_form(options.json, wait(settings::run(context, role, options))),
        SharedCommand::Telemetry(options) => in_form(options.json, wait(telemetry::run(context, role, options))),
        SharedCommand::Stop(options) => in_form(options.json, wait(stop::run(context, role, options))),
        SharedCommand::Version(options) => Ok(version::run(context, role, options)),
        SharedCommand::SecretHelper(SecretHelperCommand::Read(options)) => wait(secret_helper::read(context, &options)),
    }
}

/// A caller who asked for JSON gets JSON, whatever happens.
fn in_form(json: bool, result: CommandResult) -> CommandResult {
    if json { result.map_err(Failure::into_json) } else { result }
}

fn wait(command: impl Future<Output = CommandResult>) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("start the runtime: {error}")))?.block_on(command)
}

fn finish(result: CommandResult) -> ExitCode {
    let (output, failure) = match result {
        Ok(output) => (output, None),
        Err(failure) => (failure.output.clone(), Some(failure)),
    };
    // A reader that went away (`| head`) is no failure of ours.
    let _ = io::stdout().write_all(output.as_bytes()).and_then(|()| io::stdout().flush());
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            let _ = writeln!(io::stderr(), "Error: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
