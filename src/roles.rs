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

/// The role that commands without one are for: as told, else of the process that wrote the role file, else node.
#[must_use]
pub fn local_role(told: Option<Role>, role_file: Option<Role>) -> Role {
    told.or(role_file).unwrap_or(Role::Node)
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
    fn the_local_role_is_told_or_read_or_node() {
        let directory = tempfile::tempdir().unwrap();
        let run_path = directory.path().join("run");
        assert_eq!(read_role_file(&run_path), None);
        write_role_file(&run_path, Role::Cluster).unwrap();
        let read = read_role_file(&run_path);
        assert_eq!(read, Some(Role::Cluster));
        assert_eq!(local_role(None, read), Role::Cluster);
        assert_eq!(local_role(Some(Role::Node), read), Role::Node);
        assert_eq!(local_role(None, None), Role::Node);
        std::fs::write(role_file(&run_path), "neither").unwrap();
        assert_eq!(read_role_file(&run_path), None);
    }
}
