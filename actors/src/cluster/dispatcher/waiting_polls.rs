//! Polls of agents that are registered already, but not saved yet.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::domain::ids::NodeName;
use crate::messages::dispatcher::PollReply;

/// What a waiting poll gets.
pub(crate) type Answer = oneshot::Receiver<PollReply>;

struct Waiting {
    last_change: i64,
    answer: oneshot::Sender<PollReply>,
}

/// At most one poll of each agent: a later one takes the place of an earlier one, whose agent does not listen any more.
#[derive(Default)]
pub(crate) struct WaitingPolls {
    polls: BTreeMap<NodeName, Waiting>,
}

impl WaitingPolls {
    /// Lets a poll wait.
    pub(crate) fn wait(&mut self, node: NodeName, last_change: i64) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.polls.insert(node, Waiting { last_change, answer });
        answered
    }

    /// Gives up on every poll: whoever asked is told that nobody here knows.
    pub(crate) fn give_up(&mut self) {
        self.polls.clear();
    }

    /// Answers every poll for which `reply` has an answer now.
    pub(crate) fn answer(&mut self, reply: impl Fn(&NodeName, i64) -> Option<PollReply>) {
        let ready: Vec<_> = self.polls.iter().filter_map(|(node, poll)| Some((node.clone(), reply(node, poll.last_change)?))).collect();
        for (node, reply) in ready {
            if let Some(poll) = self.polls.remove(&node) {
                // Whoever asked may have given up.
                let _ = poll.answer.send(reply);
            }
        }
    }
}
