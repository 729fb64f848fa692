//! Asks every replica again and again whether it answers as the leader, and measures how long nobody did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::agents::client;

/// Between two questions to one replica.
const STEP: Duration = Duration::from_millis(50);

/// One answer as the leader.
#[derive(Debug, Clone, Copy)]
struct Answer {
    replica: u16,
    asked_at: Instant,
    answered_at: Instant,
}

/// The answers so far, in order of their arrival.
#[derive(Debug, Default, Clone)]
struct Answers(Arc<Mutex<Vec<Answer>>>);

pub struct Prober {
    answers: Answers,
    asking: Vec<JoinHandle<()>>,
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.asking.iter().for_each(JoinHandle::abort);
    }
}

impl Prober {
    /// Asks as a runner that beats its heart, and with the mark of a relayed request, so that only a leader answers 200.
    pub fn start(ports: impl IntoIterator<Item = u16>, token: &str, runner: &str, address: &str) -> Self {
        let answers = Answers::default();
        let ask = |port| ask(port, token.to_owned(), (runner.to_owned(), address.to_owned()), answers.clone());
        let asking = ports.into_iter().map(|port| tokio::spawn(ask(port))).collect();
        Self { answers, asking }
    }

    /// Who answered as the leader last, and when.
    pub fn leader(&self) -> Option<u16> {
        let last = self.answers.0.lock().unwrap().last().copied()?;
        (last.answered_at.elapsed() < Duration::from_secs(1)).then_some(last.replica)
    }

    pub fn begin(&self) {
        let mut answers = self.answers.0.lock().unwrap();
        let last = answers.last().copied();
        answers.clear();
        answers.extend(last);
    }

    /// The longest time since [`Self::begin`] between two answers of a leader, whoever it was.
    pub fn blind(&self) -> Duration {
        let answers = self.answers.0.lock().unwrap();
        let gaps = answers.windows(2).map(|pair| pair[1].answered_at.saturating_duration_since(pair[0].answered_at));
        gaps.max().unwrap_or_default()
    }

    /// Panics if one replica answered a question as the leader that was asked after another one had answered as its successor.
    pub fn assert_one_leader(&self) {
        let answers = self.answers.0.lock().unwrap().clone();
        let mut first_of: BTreeMap<u16, Vec<(Instant, Instant)>> = BTreeMap::new();
        for answer in &answers {
            let terms = first_of.entry(answer.replica).or_default();
            match terms.last_mut() {
                // One term of office, unless somebody else answered in between.
                Some((_, last)) if !other_between(&answers, answer.replica, *last, answer.asked_at) => *last = answer.asked_at,
                _ => terms.push((answer.answered_at, answer.asked_at)),
            }
        }
        let mut terms: Vec<(u16, Instant, Instant)> =
            first_of.into_iter().flat_map(|(replica, terms)| terms.into_iter().map(move |(first, last)| (replica, first, last))).collect();
        terms.sort_by_key(|(_, first, _)| *first);
        for pair in terms.windows(2) {
            let ((before, _, last), (after, first, _)) = (pair[0], pair[1]);
            assert!(
                last <= first,
                "two leaders: {before} answered a question asked {:?} after {after} had answered as the leader",
                last.saturating_duration_since(first)
            );
        }
    }
}

/// Whether another replica answered a question that was asked and answered between these moments.
fn other_between(answers: &[Answer], replica: u16, from: Instant, to: Instant) -> bool {
    answers.iter().any(|answer| answer.replica != replica && answer.asked_at > from && answer.answered_at < to)
}

async fn ask(port: u16, token: String, (runner, address): (String, String), answers: Answers) {
    let http = client();
    let url = format!("https://127.0.0.1:{port}/api/v1/clusterchecks/status/{runner}");
    let body = json!({"last_change": -1, "node_type": 1}).to_string();
    loop {
        let asked_at = Instant::now();
        let request = http.post(&url).bearer_auth(&token).header("X-Real-Ip", &address).header("X-DCA-Follower-Forwarded", "true");
        if request.body(body.clone()).send().await.is_ok_and(|answer| answer.status() == 200) {
            answers.0.lock().unwrap().push(Answer { replica: port, asked_at, answered_at: Instant::now() });
        }
        sleep(STEP).await;
    }
}
