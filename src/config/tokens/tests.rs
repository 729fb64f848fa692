//! Tokens: sources, texts, files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config::{Environment, Request, Role};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn config(directory: &Path, environment: &[(&str, &str)]) -> Config {
    Config::load(Request {
        role: Role::Cluster,
        path: Some(directory.to_owned()),
        environment: Environment::from_pairs(environment.iter().copied()),
        overrides: Vec::new(),
    })
    .unwrap()
}

#[test]
fn ca_h8_a_token_of_31_characters_is_too_short() {
    let directory = tempfile::tempdir().unwrap();
    let error = read_cluster_token(&config(directory.path(), &[("DD_CLUSTER_AGENT_AUTH_TOKEN", &TOKEN[1..])])).unwrap_err();
    assert_eq!(error.to_string(), "cluster agent authentication token length must be greater than 32, curently: 31");
}

#[test]
fn ca_h9_a_token_of_32_characters_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let token = read_cluster_token(&config(directory.path(), &[("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN)])).unwrap();
    assert_eq!(token.expose(), TOKEN);
}

#[test]
fn a_missing_cluster_token_names_the_file_and_the_cause() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster_agent.auth_token");
    let error = read_cluster_token(&config(directory.path(), &[])).unwrap_err().to_string();
    assert_eq!(error, format!("empty cluster_agent.auth_token and cannot find {path:?}: No such file or directory (os error 2)"));
    assert!(!path.exists(), "reading never creates");
}

#[test]
fn one_line_end_of_a_file_is_not_part_of_the_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster_agent.auth_token");
    for (content, expected) in [
        (format!("{TOKEN}\n"), TOKEN.to_owned()),
        (format!("{TOKEN}\r\n"), TOKEN.to_owned()),
        (format!("{TOKEN}\n\n"), format!("{TOKEN}\n")),
        (TOKEN.to_owned(), TOKEN.to_owned()),
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(read_cluster_token(&config(directory.path(), &[])).unwrap().expose(), &expected);
    }
}

#[test]
fn an_empty_file_is_no_token() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("cluster_agent.auth_token"), "\n").unwrap();
    let config = config(directory.path(), &[]);
    let text = "cluster agent authentication token length must be greater than 32, curently: 0";
    assert_eq!(read_cluster_token(&config).unwrap_err().to_string(), text);
    assert_eq!(read_or_create_cluster_token(&config).unwrap_err().to_string(), text);
}

#[test]
fn the_server_makes_a_token_that_only_its_owner_can_read() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), &[]);
    let token = read_or_create_cluster_token(&config).unwrap();
    let path = directory.path().join("cluster_agent.auth_token");
    assert_eq!(&fs::read_to_string(&path).unwrap(), token.expose());
    assert_eq!(token.expose().len(), 64);
    assert!(token.expose().chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read_or_create_cluster_token(&config).unwrap(), token);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no drafts are left");
}

#[test]
fn the_local_token_is_made_by_the_process_and_only_read_by_commands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth").join("token");
    let missing = read_local_token(&path).unwrap_err().to_string();
    assert_eq!(missing, "unable to read authentication token file: No such file or directory (os error 2)");
    let made = read_or_create_local_token(&path).unwrap();
    assert_eq!(read_local_token(&path).unwrap(), made);
    fs::write(&path, "short").unwrap();
    assert_eq!(read_local_token(&path).unwrap_err().to_string(), "invalid authentication token: must be at least 32 characters in length");
    assert!(read_or_create_local_token(&path).is_err(), "a short token is not replaced");
}

#[test]
fn a_token_another_process_made_first_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth_token");
    fs::write(&path, TOKEN).unwrap();
    assert_eq!(create(&path).unwrap().expose(), TOKEN);
}

#[test]
fn a_token_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let occupied = directory.path().join("file");
    fs::write(&occupied, "").unwrap();
    let error = read_or_create_local_token(&occupied.join("auth_token")).unwrap_err();
    assert!(matches!(error, TokenError::LocalUnreadable { .. } | TokenError::Write { .. }), "{error}");
}
