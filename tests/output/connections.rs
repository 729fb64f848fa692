//! Connections to an intake: kept, or made anew after `forwarder_connection_reset_interval`.

use std::time::Duration;

use muster::config::settings::IntakeSettings;
use muster_actors::domain::delivery::SendResult;
use muster_actors::ports::OutputTransport as _;

use crate::server::{Reply, Server};
use crate::{KEY, one_check_run, transport};

#[tokio::test]
async fn a_connection_is_kept_by_default() {
    let mut server = Server::start(&[], Reply::Status(202)).await;
    let transport = transport(&IntakeSettings::default(), &server.url());
    let payload = transport.encode(&one_check_run()).payloads.remove(0);
    for _ in 0..20 {
        assert_eq!(transport.send(&payload).await, SendResult::Answered(202));
        assert_eq!(server.next().await.header("dd-api-key"), Some(KEY));
    }
    assert_eq!((server.accepted(), transport.connections()), (1, 1));
}

#[tokio::test]
async fn connections_are_made_anew_after_the_interval() {
    let mut server = Server::start(&[], Reply::Status(202)).await;
    let settings = IntakeSettings { connection_reset_interval: Duration::from_millis(1), ..IntakeSettings::default() };
    let transport = transport(&settings, &server.url());
    let payload = transport.encode(&one_check_run()).payloads.remove(0);
    // However slow the machine is, some request comes after the interval.
    while server.accepted() < 3 {
        assert_eq!(transport.send(&payload).await, SendResult::Answered(202));
        server.next().await;
    }
    assert!(transport.connections() >= 3);
}

#[tokio::test]
async fn tags_as_they_are_is_asked_for_on_demand() {
    for (asked, header) in [(false, None), (true, Some("true"))] {
        let mut server = Server::start(&[], Reply::Status(202)).await;
        let transport = transport(&IntakeSettings { allow_arbitrary_tags: asked, ..IntakeSettings::default() }, &server.url());
        transport.send(&transport.encode(&one_check_run()).payloads.remove(0)).await;
        assert_eq!(server.next().await.header("allow-arbitrary-tag-value"), header);
    }
}
