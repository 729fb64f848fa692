//! Tokens and ports of this machine or pod. Source: cluster-agent-kubernetes 1.2, 6.7, 6.8.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};

use super::finding::{Finding, Section};
use crate::cli::connection::{LocalApi, QueryError, get_plain, port};
use crate::config::Config;
use crate::config::settings::Paths;
use crate::config::tokens::{CLUSTER_TOKEN_FILE, MIN_LENGTH, TokenError, read_cluster_token, read_local_token};
use crate::errors;

/// The tokens are there and long enough; nothing of them is shown. `several`: more than one replica may run.
pub(super) fn tokens(config: &Config, several: bool) -> Vec<Finding> {
    let cluster = match read_cluster_token(config) {
        Ok(_) => Finding::well(Section::Tokens, "cluster", format!("there, at least {MIN_LENGTH} characters")),
        Err(TokenError::ClusterMissing { .. }) if !several => {
            let found = format!("not set: the server makes one and keeps it in {}", config.directory().join(CLUSTER_TOKEN_FILE).display());
            Finding::advice(Section::Tokens, "cluster", found, "give the same to agents, or set cluster_agent.auth_token")
        }
        Err(error) => {
            let mend = "set cluster_agent.auth_token (DD_CLUSTER_AGENT_AUTH_TOKEN), the same for all replicas and agents";
            Finding::mend(Section::Tokens, "cluster", errors::chain(&error), mend)
        }
    };
    let path = Paths::from_config(config).local_token;
    let local = match read_local_token(&path) {
        Ok(_) => Finding::well(Section::Tokens, "local", path.display().to_string()),
        Err(TokenError::LocalUnreadable { source }) if source.kind() == ErrorKind::NotFound => {
            Finding::well(Section::Tokens, "local", format!("not there yet: the agent writes {}", path.display()))
        }
        Err(error) => {
            let mend = format!("remove {} and start the agent again, or run this as its user", path.display());
            Finding::mend(Section::Tokens, "local", errors::chain(&error), mend)
        }
    };
    vec![cluster, local]
}

/// Who answers on a port of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Nobody listens.
    Free,
    /// A process of ours.
    Ours,
    /// Somebody else, or a process of ours that does not answer.
    Other(String),
}

/// Each port is free, or served by our own process.
pub(super) async fn ports(config: &Config) -> Vec<Finding> {
    let mut findings = vec![judge("cluster_agent.cmd_port", config, api(config).await)];
    for (key, path, mark) in [("metrics_port", "metrics", "muster_"), ("health_port", "live", "\"Healthy\"")] {
        if port(config, key) == 0 {
            continue;
        }
        let answer = match listened(key, config) {
            None => Answer::Free,
            Some(port) => of_plain(get_plain(config, &format!("http://127.0.0.1:{port}/{path}")).await, mark),
        };
        findings.push(judge(key, config, answer));
    }
    findings
}

/// Whether a process of ours answers to our local token.
async fn api(config: &Config) -> Answer {
    let text = match LocalApi::new(config) {
        Ok(api) => match api.get("/status/health").await {
            Ok(_) => return Answer::Ours,
            Err(error) => error.text(),
        },
        Err(failure) => failure.message.lines().next().unwrap_or_default().to_owned(),
    };
    // Asked last: a connection without a handshake is a warning in the log of a server that is well.
    if listened("cluster_agent.cmd_port", config).is_some() { Answer::Other(text) } else { Answer::Free }
}

/// The port, if somebody listens on it.
fn listened(key: &str, config: &Config) -> Option<u16> {
    let port = u16::try_from(port(config, key)).ok()?;
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
}

/// `mark`: what only the answer of a process of ours contains. A health port answers 500 when something is not well.
fn of_plain(answer: Result<String, QueryError>, mark: &str) -> Answer {
    match answer {
        Ok(body) | Err(QueryError::Refused { body, .. }) if body.contains(mark) => Answer::Ours,
        Ok(_) => Answer::Other("the answer is not ours".to_owned()),
        Err(error) => Answer::Other(error.text()),
    }
}

fn judge(key: &str, config: &Config, answer: Answer) -> Finding {
    let number = port(config, key);
    match answer {
        Answer::Ours => Finding::well(Section::Ports, key, format!("{number}, answers")),
        Answer::Free => Finding::well(Section::Ports, key, format!("{number}, free: the cluster role does not run here")),
        Answer::Other(text) => {
            let mend = format!("stop the program that listens on {number}, or set {key} to a free port; if it is ours, look at its log");
            Finding::mend(Section::Ports, key, format!("{number}, taken: {text}"), mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use tempfile::TempDir;

    use super::super::finding::State;
    use super::*;
    use crate::config::{Environment, Request, Role};

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn load(folder: &TempDir, pairs: &[(&str, &str)]) -> Config {
        let environment = Environment::from_pairs(pairs.iter().copied());
        Config::load(Request { role: Role::Cluster, path: Some(folder.path().to_owned()), environment, overrides: Vec::new() }).unwrap()
    }

    #[test]
    fn tokens_are_there_and_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("auth_token"), TOKEN).unwrap();
        let findings = tokens(&load(&folder, &[("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN)]), true);
        assert!(findings.iter().all(|finding| finding.state == State::Well && !finding.found.contains(TOKEN)), "{findings:?}");
        fs::write(folder.path().join("auth_token"), "short").unwrap();
        let findings = tokens(&load(&folder, &[("DD_CLUSTER_AGENT_AUTH_TOKEN", "short")]), true);
        assert!(findings.iter().all(|finding| finding.state == State::Mend), "{findings:?}");
    }

    #[test]
    fn a_server_that_is_alone_makes_its_tokens_and_several_need_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let states = |several| tokens(&load(&folder, &[]), several).iter().map(|finding| finding.state).collect::<Vec<_>>();
        assert_eq!(states(false), [State::Advice, State::Well]);
        assert_eq!(states(true), [State::Mend, State::Well]);
        assert!(!folder.path().join("auth_token").exists(), "nothing is written");
    }

    /// Answers every request with one text.
    fn server(status: &'static str, body: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                // The first connection only looks whether somebody listens, and says nothing.
                if stream.read(&mut request).unwrap_or(0) > 0 {
                    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                    stream.write_all((head + body).as_bytes()).unwrap();
                }
            }
        });
        port
    }

    async fn states(metrics: u16, health: u16) -> Vec<State> {
        // As the program does at its start; another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("auth_token"), TOKEN).unwrap();
        let pairs = [("DD_METRICS_PORT", metrics.to_string()), ("DD_HEALTH_PORT", health.to_string())];
        let pairs = pairs.each_ref().map(|(name, value)| (*name, value.as_str()));
        // Nobody who runs tests listens on port 1.
        let pairs = [&pairs[..], &[("DD_CLUSTER_AGENT_CMD_PORT", "1")]].concat();
        ports(&load(&folder, &pairs)).await.iter().map(|finding| finding.state).collect()
    }

    #[tokio::test]
    async fn a_port_is_free_or_answers_as_ours() {
        assert_eq!(states(0, 0).await, [State::Well]);
        let (metrics, health) = (server("200 OK", "muster_epoch 1\n"), server("500 Internal Server Error", "{\"Healthy\":null}"));
        assert_eq!(states(metrics, health).await, [State::Well; 3]);
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_has_is_to_be_mended() {
        let other = server("200 OK", "hello");
        assert_eq!(states(other, other).await, [State::Well, State::Mend, State::Mend]);
    }
}
