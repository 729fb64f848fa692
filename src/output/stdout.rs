//! JSON lines as a transport: one object per series, distribution, service check and event.
//!
//! Names and tags are as submitted. Source: node-runner 14 and 9.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use futures_util::future::BoxFuture;
use muster_actors::domain::delivery::{Contents, Encoded, Payload, Route, SendErrorKind, SendResult};
use muster_actors::domain::samples::Batch;
use muster_actors::ports::OutputTransport;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::output::check_run::CheckRunJson;
use crate::output::error::OutputError;
use crate::output::events::EventJson;
use crate::output::series_v1::SeriesJson;
use crate::output::sketches::SketchJson;

const ROUTE: Route = Route { name: "stdout", path: "", content_type: "application/x-ndjson" };

/// Bytes after which a payload is full; lines stay whole, so a long one may exceed it.
const PAYLOAD_BYTES: usize = 64 * 1024;

struct Job {
    body: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

/// Writes lines from a thread of its own.
///
/// Why a thread: a reader that does not read blocks writing for as long as it likes. That must neither hold an actor nor a pool,
/// nor the end of the process.
pub struct LineTransport {
    jobs: SyncSender<Job>,
}

impl LineTransport {
    /// Starts the writer on standard output.
    ///
    /// Errors: [`OutputError::Thread`].
    pub fn stdout() -> Result<Self, OutputError> {
        Self::try_new(io::stdout())
    }

    /// Starts the writer on anything.
    ///
    /// Errors: [`OutputError::Thread`].
    pub fn try_new(writer: impl Write + Send + 'static) -> Result<Self, OutputError> {
        // One job waits while another is written: more would only hide from the queue how slow the reader is.
        let (jobs, inbox) = sync_channel(1);
        thread::Builder::new().name("stdout-writer".to_owned()).spawn(move || write_all(writer, &inbox)).map_err(OutputError::Thread)?;
        Ok(Self { jobs })
    }
}

fn write_all(mut writer: impl Write, inbox: &Receiver<Job>) {
    while let Ok(job) = inbox.recv() {
        let written = writer.write_all(&job.body).and_then(|()| writer.flush());
        // Nobody listens if the output restarted meanwhile.
        let _ = job.done.send(written);
    }
}

/// Collects lines into payloads.
#[derive(Default)]
struct Lines {
    body: Vec<u8>,
    contents: Contents,
    encoded: Encoded,
}

impl Lines {
    fn add(&mut self, line: &impl Serialize, contents: Contents) {
        let start = self.body.len();
        if serde_json::to_writer(&mut self.body, line).is_err() {
            self.body.truncate(start);
            self.encoded.invalid += contents;
            return;
        }
        self.body.push(b'\n');
        self.contents += contents;
        if self.body.len() >= PAYLOAD_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.body.is_empty() {
            let body = std::mem::take(&mut self.body);
            self.encoded.payloads.push(Payload::new(ROUTE, body, std::mem::take(&mut self.contents)));
        }
    }
}

impl OutputTransport for LineTransport {
    fn encode(&self, batch: &Batch) -> Encoded {
        let mut lines = Lines::default();
        for series in &batch.series {
            lines.add(&SeriesJson::as_submitted(series), Contents { points: series.points.len() as u64, ..Contents::default() });
        }
        for sketch in &batch.sketches {
            lines.add(&SketchJson::from(sketch), Contents { sketches: 1, ..Contents::default() });
        }
        for run in &batch.check_runs {
            lines.add(&CheckRunJson::from(run), Contents { check_runs: 1, ..Contents::default() });
        }
        for event in &batch.events {
            lines.add(&EventJson::from(event), Contents { events: 1, ..Contents::default() });
        }
        lines.close();
        lines.encoded
    }

    fn send(&self, payload: &Payload) -> BoxFuture<'static, SendResult> {
        let (done, written) = oneshot::channel();
        let sent = self.jobs.try_send(Job { body: payload.body.clone(), done });
        Box::pin(async move {
            match sent {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    return SendResult::Failed { kind: SendErrorKind::CantSend, text: "writer is busy".to_owned() };
                }
                Err(TrySendError::Disconnected(_)) => return SendResult::Closed { text: "writer is gone".to_owned() },
            }
            match written.await {
                Ok(Ok(())) => SendResult::Delivered,
                Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => SendResult::Closed { text: error.to_string() },
                Ok(Err(error)) => SendResult::Failed { kind: SendErrorKind::WritingFailure, text: error.to_string() },
                Err(_) => SendResult::Closed { text: "writer is gone".to_owned() },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::samples::{CheckRun, Event, Series, SeriesKind, ServiceStatus, SketchSeries};

    use super::*;

    fn batch() -> Batch {
        Batch {
            series: vec![Series {
                name: "PLUGIN.nginx-stat.qps".to_owned(),
                points: vec![(1_700_000_000, 1.5), (1_700_000_015, 2.0)],
                tags: vec!["device:sda".to_owned()],
                host: "node-1".to_owned(),
                kind: SeriesKind::Rate,
                interval: 10,
                source_type_name: "System".to_owned(),
                no_index: false,
            }],
            sketches: vec![SketchSeries {
                name: "d".to_owned(),
                tags: vec![],
                host: "node-1".to_owned(),
                timestamp: 1_700_000_000,
                count: 2,
                min: 0.5,
                max: 1.0,
                average: 0.75,
                sum: 1.5,
                bins: vec![(1293, 1), (1338, 1)],
            }],
            check_runs: vec![CheckRun {
                name: "http.can_connect".to_owned(),
                host: "node-1".to_owned(),
                timestamp: 1_700_000_000,
                status: ServiceStatus::Critical,
                message: "line\nbreak".to_owned(),
                tags: vec!["a:b".to_owned()],
            }],
            events: vec![Event { title: "t".to_owned(), timestamp: 1_700_000_000, ..Event::default() }],
            metadata: vec!["{}".to_owned()],
        }
    }

    #[test]
    fn every_item_is_one_line_with_its_name_as_submitted() {
        let encoded = LineTransport::try_new(io::sink()).unwrap().encode(&batch());
        assert_eq!(encoded.payloads.len(), 1);
        let lines = String::from_utf8(encoded.payloads[0].body.clone()).unwrap();
        let expected = [
            r#"{"metric":"PLUGIN.nginx-stat.qps","points":[[1700000000,1.5],[1700000015,2]],"tags":["device:sda"],"host":"node-1","type":"rate","interval":10,"source_type_name":"System"}"#,
            r#"{"sketch":"d","timestamp":1700000000,"count":2,"min":0.5,"max":1,"avg":0.75,"sum":1.5,"bins":[[1293,1],[1338,1]],"tags":[],"host":"node-1"}"#,
            r#"{"check":"http.can_connect","host_name":"node-1","timestamp":1700000000,"status":2,"message":"line\nbreak","tags":["a:b"]}"#,
            r#"{"msg_title":"t","msg_text":"","timestamp":1700000000,"host":""}"#,
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
        assert_eq!(
            encoded.payloads[0].contents,
            Contents { payloads: 1, bytes: lines.len() as u64, points: 2, sketches: 1, check_runs: 1, events: 1 }
        );
    }

    #[test]
    fn many_lines_become_several_payloads_of_whole_lines() {
        let batch = Batch { check_runs: vec![batch().check_runs[0].clone(); 2000], ..Batch::default() };
        let encoded = LineTransport::try_new(io::sink()).unwrap().encode(&batch);
        assert!(encoded.payloads.len() > 2);
        assert!(encoded.payloads.iter().all(|payload| payload.body.ends_with(b"}\n") && payload.body.starts_with(b"{")));
        assert_eq!(encoded.payloads.iter().map(|payload| payload.contents.check_runs).sum::<u64>(), 2000);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_an_error_and_no_panic() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let transport = LineTransport::try_new(writer).unwrap();
        let payload = transport.encode(&batch()).payloads.remove(0);
        for _ in 0..2 {
            assert!(matches!(transport.send(&payload).await, SendResult::Closed { .. }));
        }
    }

    #[tokio::test]
    async fn lines_arrive_whole_and_a_reader_that_does_not_read_is_reported() {
        let (mut reader, writer) = io::pipe().unwrap();
        let transport = LineTransport::try_new(writer).unwrap();
        let line = Payload::new(ROUTE, b"{\"a\":1}\n".to_vec(), Contents::default());
        assert_eq!(transport.send(&line).await, SendResult::Delivered);
        // More than a pipe holds: the writer is stuck until somebody reads.
        let large = Payload::new(ROUTE, vec![b'x'; 1 << 20], Contents::default());
        let stuck = transport.send(&large);
        let mut refused = None;
        while refused.is_none() {
            // The writer may need a moment to take the large job; the one after it waits in the channel.
            match tokio::time::timeout(std::time::Duration::from_millis(1), transport.send(&line)).await {
                Ok(SendResult::Failed { kind, .. }) => refused = Some(kind),
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        }
        assert_eq!(refused, Some(SendErrorKind::CantSend));
        let read = std::thread::spawn(move || {
            let mut text = Vec::new();
            io::Read::read_to_end(&mut reader, &mut text).unwrap();
            text
        });
        assert_eq!(stuck.await, SendResult::Delivered);
        drop(transport);
        assert!(read.join().unwrap().starts_with(b"{\"a\":1}\nxxx"));
    }

    #[tokio::test]
    async fn another_error_is_tried_again() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let transport = LineTransport::try_new(Full).unwrap();
        let payload = transport.encode(&batch()).payloads.remove(0);
        assert!(matches!(transport.send(&payload).await, SendResult::Failed { kind: SendErrorKind::WritingFailure, .. }));
    }
}
