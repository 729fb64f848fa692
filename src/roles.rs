//! One binary, many names: what a name and its arguments mean. Source: style 9.8, cluster-agent-kubernetes 8.

use std::path::{Path, PathBuf};

use crate::config::Role;

/// Variable that our images set to `cluster` or `node`.
pub const ROLE_VARIABLE: &str = "MUSTER_ROLE";

/// Name of the file in `run_path` that names the role of the process that runs there.
const ROLE_FILE: &str = "muster.role";

/// Commands of the agent that only the plugin-running form has.
const PLUGIN_AGENT_COMMANDS: &[&str] = &["start", "cloud"];

/// What was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Arguments of `muster`, without the program name.
    pub arguments: Vec<String>,
    /// Whether commands that do not name a role go to the role of this machine ([`local_role`]), or to this one.
    pub role: Option<Role>,
}

/// Why the arguments mean nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// `MUSTER_ROLE` has another value.
    #[error("{ROLE_VARIABLE}: invalid value {found:?}; allowed: cluster, node; correct it or remove it")]
    Variable {
        /// What was found.
        found: String,
    },
    /// A command of the plugin-running agent.
    #[error("the command {command:?} of the plugin-running agent is not part of this version; `agent run` starts the node role")]
    PluginAgent {
        /// The command.
        command: String,
    },
}

/// Finds out what an invocation means.
///
/// `program` is the name or path the program was called by, `role` the value of [`ROLE_VARIABLE`].
///
/// Errors: [`RoleError`].
pub fn resolve(program: &str, arguments: &[String], role: Option<&str>) -> Result<Invocation, RoleError> {
    let told = role.map(parse_role).transpose()?;
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or(program);
    match name {
        "datadog-cluster-agent" | "cluster-agent" => Ok(cluster(arguments)),
        "agent" => agent(arguments, told),
        _ => Ok(Invocation { arguments: arguments.to_vec(), role: told }),
    }
}

fn parse_role(word: &str) -> Result<Role, RoleError> {
    match word.trim().to_lowercase().as_str() {
        "cluster" => Ok(Role::Cluster),
        "node" => Ok(Role::Node),
        _ => Err(RoleError::Variable { found: word.to_owned() }),
    }
}

/// No command means `start`.
fn cluster(arguments: &[String]) -> Invocation {
    let mut arguments = arguments.to_vec();
    let asks_for_help = arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help"));
    if command(&arguments).is_none() && !asks_for_help {
        arguments.push("start".to_owned());
    }
    Invocation { arguments: under("cluster", arguments), role: Some(Role::Cluster) }
}

fn agent(arguments: &[String], told: Option<Role>) -> Result<Invocation, RoleError> {
    let first = command(arguments).map(|position| arguments[position].as_str());
    match (first, told) {
        (Some("run"), _) => Ok(Invocation { arguments: under("node", arguments.to_vec()), role: Some(Role::Node) }),
        (_, Some(Role::Cluster)) => Ok(cluster(arguments)),
        (Some(command), _) if PLUGIN_AGENT_COMMANDS.contains(&command) => Err(RoleError::PluginAgent { command: command.to_owned() }),
        _ => Ok(Invocation { arguments: arguments.to_vec(), role: told }),
    }
}

fn under(role: &str, arguments: Vec<String>) -> Vec<String> {
    std::iter::once(role.to_owned()).chain(arguments).collect()
}

/// Position of the first argument that is neither an option nor the value of one.
fn command(arguments: &[String]) -> Option<usize> {
    let mut value_follows = false;
    arguments.iter().position(|argument| {
        let is_value = std::mem::replace(&mut value_follows, matches!(argument.as_str(), "-c" | "--cfgpath" | "--set"));
        !is_value && !argument.starts_with('-')
    })
}

/// What the configuration of a role leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleTrace {
    /// Which role.
    pub role: Role,
    /// There is a configuration file for it.
    pub configured: bool,
    /// What the role file in its `run_path` says.
    pub left: Option<Role>,
}

/// The role that commands without one are for: as told, else of the process that wrote a role file, else node.
///
/// Where a directory was `named`, and it holds the configuration of one role only, that role is meant: the `run_path` of the other one
/// is the default, where something else may have left its file.
#[must_use]
pub fn local_role(told: Option<Role>, named: bool, traces: &[RoleTrace]) -> Role {
    let mut configured = traces.iter().filter(|trace| trace.configured);
    let meant = match (configured.next(), configured.next()) {
        (Some(only), None) if named => Some(only),
        _ => None,
    };
    let left = || meant.map_or_else(|| traces.iter().find_map(|trace| trace.left), |only| only.left.or(Some(only.role)));
    told.or_else(left).unwrap_or(Role::Node)
}

/// The file in which a running process says what it is.
#[must_use]
pub fn role_file(run_path: &Path) -> PathBuf {
    run_path.join(ROLE_FILE)
}

/// Says in `run_path` what this process is, for commands that do not name a role.
///
/// Errors: those of the file system; a process runs well without.
pub fn write_role_file(run_path: &Path, role: Role) -> std::io::Result<()> {
    std::fs::create_dir_all(run_path)?;
    std::fs::write(role_file(run_path), format!("{}\n", role.name()))
}

/// What the role file says; `None` when there is none that can be understood.
#[must_use]
pub fn read_role_file(run_path: &Path) -> Option<Role> {
    parse_role(&std::fs::read_to_string(role_file(run_path)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(line: &str, role: Option<&str>) -> String {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().unwrap();
        match resolve(&program, &words.collect::<Vec<_>>(), role) {
            Ok(invocation) => {
                let role = invocation.role.map_or("local", Role::name);
                format!("{role}: {}", invocation.arguments.join(" "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_matching_rule_decides() {
        for (line, role, expected) in [
            ("muster cluster start", None, "local: cluster start"),
            ("/usr/bin/muster status", None, "local: status"),
            ("muster status", Some("cluster"), "cluster: status"),
            ("muster demo --json", None, "local: demo --json"),
            ("datadog-cluster-agent start", None, "cluster: cluster start"),
            ("datadog-cluster-agent", None, "cluster: cluster start"),
            ("datadog-cluster-agent -c /etc/x", None, "cluster: cluster -c /etc/x start"),
            ("datadog-cluster-agent --help", None, "cluster: cluster --help"),
            ("/opt/datadog-agent/bin/datadog-cluster-agent status -j", Some("node"), "cluster: cluster status -j"),
            ("cluster-agent clusterchecks", None, "cluster: cluster clusterchecks"),
            ("agent run", None, "node: node run"),
            ("agent run", Some("cluster"), "node: node run"),
            ("agent -c /etc/run run", None, "node: node -c /etc/run run"),
            ("agent start", Some("cluster"), "cluster: cluster start"),
            ("agent", Some("cluster"), "cluster: cluster start"),
            ("agent status", Some("cluster"), "cluster: cluster status"),
            ("agent status", Some("node"), "node: status"),
            ("agent health", None, "local: health"),
            ("agent secret-helper read /etc/secrets", Some("node"), "node: secret-helper read /etc/secrets"),
            ("agent secret-helper read", Some("cluster"), "cluster: cluster secret-helper read"),
            ("datadog-cluster-agent secret-helper read /etc/secrets", None, "cluster: cluster secret-helper read /etc/secrets"),
            ("agent -c start status", None, "local: -c start status"),
        ] {
            assert_eq!(meaning(line, role), expected, "{line}, {role:?}");
        }
    }

    #[test]
    fn commands_of_the_plugin_agent_are_refused_by_name() {
        for line in ["agent start -f x.toml", "agent cloud"] {
            assert!(meaning(line, None).contains("of the plugin-running agent is not part of this version"), "{line}");
            assert!(meaning(line, Some("node")).contains("`agent run` starts the node role"), "{line}");
        }
    }

    #[test]
    fn another_role_is_refused() {
        assert_eq!(
            meaning("muster status", Some("both")),
            "MUSTER_ROLE: invalid value \"both\"; allowed: cluster, node; correct it or remove it"
        );
        assert_eq!(meaning("agent status", Some("CLUSTER ")), "cluster: cluster status");
    }

    #[test]
    fn the_role_file_says_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let run_path = directory.path().join("run");
        assert_eq!(read_role_file(&run_path), None);
        write_role_file(&run_path, Role::Cluster).unwrap();
        assert_eq!(read_role_file(&run_path), Some(Role::Cluster));
        std::fs::write(role_file(&run_path), "neither").unwrap();
        assert_eq!(read_role_file(&run_path), None);
    }

    #[test]
    fn the_local_role_is_told_or_left_or_node() {
        let traces = [trace(Role::Cluster, false, None), trace(Role::Node, true, Some(Role::Cluster))];
        assert_eq!(local_role(None, false, &traces), Role::Cluster);
        assert_eq!(local_role(Some(Role::Node), false, &traces), Role::Node);
        assert_eq!(local_role(None, false, &[]), Role::Node);
    }

    #[test]
    fn a_named_directory_with_one_configuration_means_that_role_and_no_file_elsewhere() {
        let (cluster, node) = (Some(Role::Cluster), Some(Role::Node));
        for (named, of_cluster, of_node, expected) in [
            (true, (false, cluster), (true, None), Role::Node),
            (false, (false, cluster), (true, None), Role::Cluster),
            (true, (true, None), (false, node), Role::Cluster),
            (true, (true, node), (false, None), Role::Node),
            // Nothing or everything is configured there: who runs decides.
            (true, (false, cluster), (false, cluster), Role::Cluster),
            (true, (true, None), (true, node), Role::Node),
            (true, (true, None), (true, None), Role::Node),
        ] {
            let traces = [trace(Role::Cluster, of_cluster.0, of_cluster.1), trace(Role::Node, of_node.0, of_node.1)];
            assert_eq!(local_role(None, named, &traces), expected, "{named} {traces:?}");
        }
    }

    fn trace(role: Role, configured: bool, left: Option<Role>) -> RoleTrace {
        RoleTrace { role, configured, left }
    }
}
