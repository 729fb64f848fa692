//! The HTTP servers of muster: listener, tokens, certificates, and the routes of each role.
//!
//! A server is a [`listener::Application`] behind [`listener::listen`]: one entry point per server that checks the token, looks the
//! route up, answers and reports, in this order. Why not nested middleware: a caller without a token must get 401 for every path,
//! and a status poll must cost little more than the connection it arrives on (docs/adr/030-one-entry-point-per-server.md).

pub mod admin;
pub mod auth;
pub mod balance;
pub mod body;
pub mod certificate;
pub mod cluster;
pub mod cluster_checks;
mod connection;
mod gate;
pub mod go_json;
pub mod go_write;
pub mod health;
pub mod heartbeats;
pub mod leader;
pub mod listener;
pub mod metadata;
pub mod metrics;
pub mod named_checks;
pub mod node;
pub mod observer;
pub mod path;
pub mod relay;
pub mod replica;
pub mod reply;
pub mod routes;
pub mod runner;
mod sec1;
mod secret_file;
pub mod tls;
pub mod version;
pub mod wire;
pub mod world;
