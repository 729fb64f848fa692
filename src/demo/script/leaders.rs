//! The acts in which servers end: another one leads, and nothing moves.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use muster_actors::kernel::clock::Clock as _;

use crate::demo::script::{ActError, CHECKS, Opening, PATIENCE, Play, SERVERS};
use crate::demo::server_view::{Leader, ServerView};
use crate::demo::show::{ActReport, Succession};
use crate::demo::stage::{Actor, LEASE_SECONDS};
use crate::demo::watch::Watch;

/// Labels of what a leader answered itself, and of what a follower passed on, in the counter of requests.
const POLLS: &str = "forwarded=\"false\",handler=\"postCheckStatus\",status=\"200\"";
const RELAYED_POLLS: &str = "forwarded=\"true\",handler=\"postCheckStatus\",status=\"200\"";
const SETS: &str = "forwarded=\"false\",handler=\"getCheckConfigs\"";

/// What was true before a leader ended.
pub(super) struct Before {
    leader: Leader,
    polls: BTreeMap<String, f64>,
    relayed: BTreeMap<String, f64>,
    sets: BTreeMap<String, f64>,
    watch: Watch,
}

impl Before {
    /// This server ended: its counters begin anew.
    fn ended(&mut self, name: &str) {
        for counters in [&mut self.polls, &mut self.relayed, &mut self.sets] {
            counters.remove(name);
        }
    }
}

impl Before {
    /// All servers are about to end: what they counted until now still counts, but for polls.
    pub(super) async fn all_end(&mut self, view: &ServerView) {
        self.polls.clear();
        for (counters, label) in [(&mut self.relayed, RELAYED_POLLS), (&mut self.sets, SETS)] {
            for (name, counted) in view.counters("api_requests", label).await {
                // The next life begins at 0: the difference to this is what both counted.
                *counters.entry(name).or_default() -= counted;
            }
        }
    }
}

/// By how much counters grew.
fn growth(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> f64 {
    after.iter().map(|(name, value)| value - before.get(name).copied().unwrap_or_default()).sum()
}

impl Play<'_> {
    pub(super) async fn kill_the_leader(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        let mut before = self.before().await?;
        let victim = before.leader.name.clone();
        if let Some(server) = self.servers.get_mut(&victim) {
            server.kill().await;
        }
        before.ended(&victim);
        let took_over = self.wait_for_leader(&before).await?;
        self.start_server(&victim)?;
        let report = self.afterwards("kill -9 the leader", opening, before).await?;
        let (blind, gap) = (report.blind(), report.gap());
        let bound = LEASE_SECONDS + 5;
        Ok(report
            .with("another server leads", took_over.name != victim, format!("{} instead of {victim}", took_over.name))
            .with("blind for less than the lease and 5 s", blind < bound as f64, format!("{blind:.1} s, bound {bound} s"))
            .with("checks ran on meanwhile", gap < blind, format!("largest gap {gap} s")))
    }

    pub(super) async fn stop_the_leader(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        let mut before = self.before().await?;
        let stopped = before.leader.name.clone();
        if let Some(server) = self.servers.get_mut(&stopped) {
            let stopping = tokio::time::timeout(PATIENCE, self.stage.stop_server(server)).await;
            stopping.map_err(|_| ActError::patience(&format!("{stopped} has stopped")))??;
        }
        before.ended(&stopped);
        let took_over = self.wait_for_leader(&before).await?;
        self.start_server(&stopped)?;
        let report = self.afterwards("stop the leader", opening, before).await?;
        let blind = report.blind();
        Ok(report.with("another server leads", took_over.name != stopped, format!("{} instead of {stopped}", took_over.name)).with(
            "nobody waited for the lease to run out",
            blind < LEASE_SECONDS as f64,
            format!("{blind:.1} s, lease {LEASE_SECONDS} s"),
        ))
    }

    pub(super) async fn kill_all_servers(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        let mut before = self.before().await?;
        join_all(self.servers.values_mut().map(Actor::kill)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let names: Vec<String> = self.servers.keys().cloned().collect();
        for name in names {
            before.ended(&name);
            self.start_server(&name)?;
        }
        self.wait_for_leader(&before).await?;
        let report = self.afterwards("kill -9 all servers", opening, before).await?;
        let (blind, gap) = (report.blind(), report.gap());
        Ok(report.with("checks ran on meanwhile", gap < blind, format!("largest gap {gap} s")))
    }

    pub(super) async fn before(&self) -> Result<Before, ActError> {
        let leader = self.look("a server leads", async |view| view.leader().await).await?;
        let count = async |label| self.view.counters("api_requests", label).await;
        Ok(Before {
            leader,
            polls: count(POLLS).await,
            relayed: count(RELAYED_POLLS).await,
            sets: count(SETS).await,
            watch: Watch::begin(&self.view),
        })
    }

    /// Waits until a server leads and every runner polled it three times.
    pub(super) async fn wait_for_leader(&self, before: &Before) -> Result<Leader, ActError> {
        self.wait_for("a server leads and dispatches", async |play| Ok(play.view.active().await)).await?;
        let wanted = 3.0 * self.runners.len() as f64;
        self.wait_for("every runner polled three times", async |play| {
            Ok(growth(&before.polls, &play.view.counters("api_requests", POLLS).await) >= wanted)
        })
        .await?;
        self.look("a server leads", async |view| view.leader().await).await
    }

    /// Waits until everything is as it was, and looks at what it cost.
    pub(super) async fn afterwards(&mut self, act: &str, opening: Opening, before: Before) -> Result<ActReport, ActError> {
        self.wait_for("the others follow and have the assignment", async |play| Ok(play.view.followers_in_step().await? == SERVERS - 1))
            .await?;
        let back_at = self.clock.unix_seconds();
        self.wait_for("every check still reports", async |play| Ok(play.all_report(back_at, CHECKS + 1))).await?;
        let resends = growth(&before.sets, &self.view.counters("api_requests", SETS).await);
        let relayed = growth(&before.relayed, &self.view.counters("api_requests", RELAYED_POLLS).await);
        let leader = self.look("a server leads", async |view: &ServerView| view.leader().await).await?;
        let stamps = opening.before.stamps.clone();
        let mut report = self.finish(opening, act).await?;
        report.succession = Some(Succession {
            leader: leader.name,
            epoch: leader.epoch,
            leader_before: before.leader.name,
            epoch_before: before.leader.epoch,
            blind_seconds: before.watch.blind().as_secs_f64(),
            relayed_polls: relayed as u64,
        });
        let moves = report.moved.len();
        Ok(report
            .with("0 moves", moves == 0, format!("{} configs", self.picture.owners.len()))
            .with("the same stamps", stamps == self.picture.stamps, format!("{} runners", stamps.len()))
            .with("0 re-sends", resends == 0.0, format!("{resends} configs requests"))
            .with("the epoch went up", leader.epoch > before.leader.epoch, format!("{} after {}", leader.epoch, before.leader.epoch)))
    }
}
