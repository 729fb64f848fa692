//! Commands, options and help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::balance::options::{BalanceCommand, EXPLAIN_EXAMPLES, ExplainOptions};
use super::demo::DemoOptions;
use super::simulate::{self, SimulateOptions};

/// Drop-in Datadog Cluster Agent and its node side.
#[derive(Debug, Parser)]
#[command(name = "muster", version, about, max_term_width = 120, subcommand_required = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// For every command.
    #[command(flatten)]
    pub(super) global: GlobalOptions,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: TopCommand,
}

const EXAMPLES: &str = "Examples:
  muster demo                                show it all on this machine
  muster simulate --remove-runners 3         what if three runners go
  muster cluster start -c ./etc              start the cluster role with ./etc/datadog-cluster.yaml
  muster node run -c ./etc                   start the node role with ./etc/datadog.yaml
  muster cluster clusterchecks               which check runs where
  muster status --json                       state of the process of this machine";

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct GlobalOptions {
    /// Configuration directory, or file [default: /etc/datadog-agent]
    #[arg(short = 'c', long = "cfgpath", global = true, value_name = "PATH")]
    pub(super) cfgpath: Option<PathBuf>,
    /// No colours
    #[arg(short = 'n', long = "no-color", global = true)]
    pub(super) no_color: bool,
}

/// Commands without a role go to the process of this machine.
#[derive(Debug, Subcommand)]
pub(super) enum TopCommand {
    /// The cluster role: start it, or ask it
    #[command(
        subcommand,
        after_help = "Examples:\n  muster cluster start\n  muster cluster status\n  muster cluster clusterchecks --check http_check"
    )]
    Cluster(ClusterCommand),
    /// The node role: run it, or ask it
    #[command(subcommand, after_help = "Examples:\n  muster node run\n  muster node status\n  muster node config get log_level")]
    Node(NodeCommand),
    /// Show the whole thing on this machine: a server, three runners, a target and an intake
    #[command(
        after_help = "Examples:\n  muster demo\n  muster demo --pause\n  muster demo --seconds 60 --keep\n  muster demo --json | jq -c 'select(.act) | [.act, .seconds]'"
    )]
    Demo(DemoOptions),
    /// What would happen: virtual time, the production code, worlds recorded, written or drawn
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(SimulateOptions),
    /// Print the script that completes commands in a shell
    #[command(
        after_help = "Examples:\n  muster completions bash > /etc/bash_completion.d/muster\n  muster completions zsh > ~/.zfunc/_muster"
    )]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print generated documentation
    #[command(hide = true)]
    Docs {
        /// Which part
        part: DocsPart,
    },
    /// Which check runs where (cluster role)
    #[command(after_help = CLUSTERCHECKS_EXAMPLES)]
    Clusterchecks(ClusterChecksOptions),
    /// Why a check is where it is, or why a node has what it has (cluster role)
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainOptions),
    /// What is wrong around the cluster role, and what would mend it; exit code 1 if something does not work
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(JsonOption),
    /// Which services select which pod (cluster role)
    #[command(after_help = METAMAP_EXAMPLES)]
    Metamap(MetamapOptions),
    /// Commands of both roles.
    #[command(flatten)]
    Shared(SharedCommand),
}

const CLUSTERCHECKS_EXAMPLES: &str = "Examples:\n  muster cluster clusterchecks\n  muster cluster clusterchecks --check redisdb\n  muster cluster clusterchecks --json | jq '.state.nodes[].name'\n  muster cluster clusterchecks rebalance --dry-run\n  muster cluster clusterchecks plan";

const DOCTOR_EXAMPLES: &str = "Examples:\n  muster cluster doctor\n  muster cluster doctor --json | jq -r '.findings[].rules[]?'";

const METAMAP_EXAMPLES: &str = "Examples:\n  muster cluster metamap\n  muster cluster metamap node-a\n  muster cluster metamap --json | jq '.Nodes[\"node-a\"].services'";

/// Commands of the cluster role.
#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Start the cluster role in the foreground
    #[command(
        after_help = "Examples:\n  muster cluster start\n  muster cluster start -c ./etc --set cluster_agent.cmd_port=15005\n  DD_CLUSTER_AGENT_AUTH_TOKEN=... muster cluster start"
    )]
    Start(StartOptions),
    /// Which check runs where
    #[command(after_help = CLUSTERCHECKS_EXAMPLES)]
    Clusterchecks(ClusterChecksOptions),
    /// Why a check is where it is, or why a node has what it has
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainOptions),
    /// What is wrong around it, and what would mend it; exit code 1 if something does not work
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(JsonOption),
    /// Which services select which pod
    #[command(after_help = METAMAP_EXAMPLES)]
    Metamap(MetamapOptions),
    /// Commands of both roles.
    #[command(flatten)]
    Shared(SharedCommand),
}

/// Commands of the node role.
#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Run the node role in the foreground
    #[command(
        alias = "start",
        after_help = "Examples:\n  muster node run\n  muster node run -c ./etc --set cluster_agent.url=https://localhost:5005\n  DD_CLC_RUNNER_ENABLED=true DD_CLC_RUNNER_HOST=127.0.0.11 muster node run"
    )]
    Run(StartOptions),
    /// Commands of both roles.
    #[command(flatten)]
    Shared(SharedCommand),
}

/// Commands of both roles.
#[derive(Debug, Subcommand)]
pub(super) enum SharedCommand {
    /// State of the process
    #[command(after_help = "Examples:\n  muster status\n  muster status collector\n  muster status --json\n  muster status -o status.txt")]
    Status(StatusOptions),
    /// Which parts are well; exit code 1 if one is not
    #[command(after_help = "Examples:\n  muster health\n  muster health --json")]
    Health(JsonOption),
    /// Check configurations found, and what is wrong with others
    #[command(alias = "checkconfig", after_help = "Examples:\n  muster configcheck\n  muster configcheck -v\n  muster configcheck --json")]
    Configcheck(ConfigCheckOptions),
    /// Effective configuration; settings that change while running
    #[command(
        after_help = "Examples:\n  muster config\n  muster config list-runtime\n  muster config get log_level --sources\n  muster config set log_level debug"
    )]
    Config(ConfigOptions),
    /// Metrics of the process
    #[command(after_help = "Examples:\n  muster telemetry\n  muster cluster telemetry | grep cluster_checks")]
    Telemetry(JsonOption),
    /// Stop the process in good order
    #[command(after_help = "Examples:\n  muster cluster stop\n  muster node stop")]
    Stop(JsonOption),
    /// Version of this program and the version it tells others
    #[command(after_help = "Examples:\n  muster version\n  muster version --json")]
    Version(JsonOption),
    /// Resolve secrets for a program that asks on standard input
    #[command(subcommand, after_help = SECRET_HELPER_EXAMPLES)]
    SecretHelper(SecretHelperCommand),
}

const SECRET_HELPER_EXAMPLES: &str = "Examples, as secret_backend_command of an agent:
  echo '{\"version\":\"1.0\",\"secrets\":[\"password\"]}' | muster secret-helper read /etc/secrets
  echo '{\"version\":\"1.0\",\"secrets\":[\"k8s_secret@prod/db/password\"]}' | muster secret-helper read --with-provider-prefixes";

/// Commands below `secret-helper`.
#[derive(Debug, Subcommand)]
pub(super) enum SecretHelperCommand {
    /// Read secrets from files, or with prefixes also from Secret objects
    #[command(after_help = SECRET_HELPER_EXAMPLES)]
    Read(SecretReadOptions),
}

/// Options of `secret-helper read`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SecretReadOptions {
    /// Folder of the files; nothing outside of it is read
    #[arg(value_name = "DIR")]
    pub(super) folder: Option<PathBuf>,
    /// Handles are file@<path> or k8s_secret@<namespace>/<name>/<key>
    #[arg(long)]
    pub(super) with_provider_prefixes: bool,
}

/// Options of `start` and `run`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct StartOptions {
    /// Set a configuration key, stronger than file and environment; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,
    /// Accepted: it always runs in the foreground
    #[arg(short = 'f', long = "foreground", hide = true)]
    pub(super) foreground: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, for example log_level=debug".to_owned()),
    }
}

/// `--json` and nothing else.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct JsonOption {
    /// Print JSON
    #[arg(short = 'j', long)]
    pub(super) json: bool,
}

/// Options of `status`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct StatusOptions {
    /// Only this section, by its title or the beginning of it
    pub(super) section: Option<String>,
    /// Print JSON
    #[arg(short = 'j', long)]
    pub(super) json: bool,
    /// Print indented JSON
    #[arg(short = 'p', long = "pretty-json")]
    pub(super) pretty_json: bool,
    /// Write to this file instead
    #[arg(short = 'o', long, value_name = "PATH")]
    pub(super) file: Option<PathBuf>,
    /// Tell more
    #[arg(short = 'v', long)]
    pub(super) verbose: bool,
}

/// Options of `configcheck`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct ConfigCheckOptions {
    /// With warnings of templates, and configs before they are resolved
    #[arg(short = 'v', long)]
    pub(super) verbose: bool,
    /// Print JSON
    #[arg(short = 'j', long)]
    pub(super) json: bool,
}

/// Options of `clusterchecks`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ClusterChecksOptions {
    /// What to do; nothing = list them.
    #[command(subcommand)]
    pub(super) command: Option<BalanceCommand>,
    /// Only this check
    #[arg(long, value_name = "NAME")]
    pub(super) check: Option<String>,
    /// Print JSON
    #[arg(short = 'j', long, global = true)]
    pub(super) json: bool,
}

/// Options of `metamap`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct MetamapOptions {
    /// Only this Kubernetes node
    #[arg(value_name = "NODE")]
    pub(super) node: Option<String>,
    /// Print JSON
    #[arg(short = 'j', long)]
    pub(super) json: bool,
}

/// Options of `config`.
#[derive(Args, Clone, Debug)]
pub(super) struct ConfigOptions {
    /// What to do; nothing = print the effective configuration.
    #[command(subcommand)]
    pub(super) command: Option<ConfigCommand>,
    /// Print JSON
    #[arg(short = 'j', long, global = true)]
    pub(super) json: bool,
}

/// Commands below `config`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Settings that can be changed while running
    #[command(after_help = "Example:\n  muster config list-runtime")]
    ListRuntime,
    /// One value
    #[command(
        after_help = "Examples:\n  muster config get log_level\n  muster config get cluster_checks.node_expiration_timeout --sources"
    )]
    Get {
        /// Key
        setting: String,
        /// With the values of all sources
        #[arg(short = 's', long, visible_alias = "source")]
        sources: bool,
    },
    /// Change a value until the process stops
    #[command(after_help = "Example:\n  muster config set log_level debug")]
    Set {
        /// Key
        setting: String,
        /// New value
        value: String,
    },
}

/// Generated documents.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum DocsPart {
    /// docs/CONFIG.md
    Config,
    /// docs/METRICS.md
    Metrics,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_visible_command_has_examples() {
        fn without(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
                let path = format!("{path} {}", inner.get_name());
                if !inner.get_after_help().is_some_and(|text| text.to_string().contains("muster ")) {
                    found.push(path.clone());
                }
                without(inner, &path, found);
            }
        }
        let mut found = Vec::new();
        without(&Arguments::command(), "muster", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    /// Lines of examples in documents: in blocks, and between backticks.
    fn commands(document: &str) -> Vec<String> {
        let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
        let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        let quoted = text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2));
        let lines = blocks.chain(quoted).filter(|line| line.starts_with("muster ") && !line.contains("..."));
        lines.map(|line| line.split(" #").next().unwrap_or(line).split(" > ").next().unwrap_or(line).replace(['[', ']'], "")).collect()
    }

    #[test]
    fn commands_in_documents_are_understood() {
        for document in ["README.md", "docs/BALANCING.md"] {
            let commands = commands(document);
            assert!(commands.len() > 10, "{document}: {commands:?}");
            for line in commands {
                let parsed = Arguments::try_parse_from(line.split_whitespace());
                assert!(parsed.is_ok(), "{document}: {line}: {:?}", parsed.err());
            }
        }
    }

    #[test]
    fn stock_spellings_are_understood() {
        for line in [
            "muster cluster status -j",
            "muster cluster -c /etc/x status -p -v -o out.json collector",
            "muster cluster checkconfig -v",
            "muster node start -f",
            "muster node run --cfgpath /etc/x -n",
            "muster config get log_level --source",
            "muster cluster clusterchecks --check http_check",
            "muster cluster clusterchecks rebalance -f --dry-run --json",
            "muster cluster clusterchecks isolate --checkID http_check:a:1",
            "muster cluster clusterchecks isolate --end a:1 -j",
            "muster clusterchecks pin a:1 runner-1",
            "muster clusterchecks plan --approve 3",
            "muster clusterchecks explain runner-1 -j",
            "muster explain --node runner-1",
            "muster cluster explain a:1 --json",
            "muster cluster metamap",
            "muster cluster metamap node-a -j",
            "muster cluster start --set log_level=debug --set check_runners=8",
            "muster secret-helper read /etc/secrets",
            "muster cluster doctor -j",
            "muster doctor",
            "muster cluster secret-helper read --with-provider-prefixes",
        ] {
            let parsed = Arguments::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
        for line in [
            "muster",
            "muster cluster rebalance",
            "muster node clusterchecks",
            "muster cluster start --set nothing",
            "muster explain",
            "muster explain a --node b",
            "muster clusterchecks isolate --checkID a --end b",
            "muster clusterchecks pin a",
        ] {
            assert!(Arguments::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }
}
