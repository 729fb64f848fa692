//! The act in which the intake goes away, and what sends is killed meanwhile: nothing that was on a disk is missing when it is back.
//!
//! Its events are the starts of servers: each process reports its own, once.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use futures_util::future::join_all;
use muster_actors::kernel::clock::Clock as _;
use tokio::net::TcpStream;

use crate::demo::intake::{Manner, Taken};
use crate::demo::payload::EventId;
use crate::demo::script::leaders::Before;
use crate::demo::script::{ActError, CHECKS, Play, SERVERS};
use crate::demo::show::{ActReport, Outage, listed};
use crate::demo::spooled::spooled_events;
use crate::demo::stage::Actor;

/// Events made so far, and what was found of them on the disks.
#[derive(Default)]
struct Made {
    /// Each start is one.
    starts: usize,
    /// All that were ever seen on a disk.
    stored: BTreeSet<EventId>,
    /// Starts until each kill, and how many of their events were on the disks afterwards.
    kills: Vec<(usize, usize)>,
}

impl Play<'_> {
    pub(super) async fn take_the_intake_away(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        let mut before = self.before().await?;
        self.wait_for("nothing is left to send", async |play| Ok(play.stored().is_empty())).await?;
        let mut made = Made::default();

        self.intake.close().await;
        let away_since = self.clock.monotonic();
        let refused = TcpStream::connect(self.intake.address).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        for _ in 0..2 {
            self.kill_what_sends(&mut before, &mut made).await?;
            self.start_what_sends(&mut made).await?;
        }
        // Now it takes what comes, and says nothing: whoever sent it cannot know.
        self.kill_what_sends(&mut before, &mut made).await?;
        self.intake.open(Manner::Silent).map_err(ActError::Intake)?;
        self.start_what_sends(&mut made).await?;
        self.wait_for("the intake took every event without an answer", async |play| {
            Ok(made.stored.iter().all(|event| play.taken(event).unanswered > 0))
        })
        .await?;
        self.kill_what_sends(&mut before, &mut made).await?;
        self.intake.close().await;
        self.start_what_sends(&mut made).await?;

        self.intake.open(Manner::Answers).map_err(ActError::Intake)?;
        let (back, back_at) = (self.clock.monotonic(), self.clock.unix_seconds());
        self.wait_for("no event is left on a disk", async |play| Ok(play.stored().is_empty())).await?;
        self.wait_for("the runners sent what they held", async |play| Ok(play.all_report(back_at + 1, CHECKS + 1))).await?;
        self.wait_for_leader(&before).await?;

        let mut report = self.afterwards("intake away, kill -9", opening, before).await?;
        let away = back.saturating_sub(away_since).as_secs_f64();
        let taken: Vec<Taken> = made.stored.iter().map(|event| self.taken(event)).collect();
        let count = |holds: fn(&Taken) -> bool| taken.iter().filter(|taken| holds(taken)).count();
        let arrived = count(|taken| taken.times() > 0);
        let repeated = count(|taken| taken.times() > 1);
        let unanswered = count(|taken| taken.unanswered > 0);
        let explained = taken.iter().all(|taken| taken.answered == 1 && taken.unanswered <= 1);
        let missing = made.starts - arrived;
        let (starts, stored): (Vec<usize>, Vec<usize>) = made.kills.iter().copied().unzip();
        let (all_stored, kept) = (stored == starts, format!("{} of {}", listed(&stored), listed(&starts)));
        report.outage = Some(Outage {
            intake_away_seconds: away,
            events_made: made.starts,
            events_on_disk_at_kills: stored,
            events_arrived: arrived,
            events_repeated: repeated,
            events_missing: missing,
        });
        let gap = report.gap();
        Ok(report
            .with("the intake refused connections", refused, format!("{}; its port is kept", self.intake.address))
            .with("every event was on a disk at each kill -9", all_stored, kept)
            .with("every event arrived", missing == 0, format!("{arrived} of {}, {missing} missing", made.starts))
            .with(
                "only what got no answer came again",
                explained,
                format!("{repeated} came twice, {unanswered} had been taken without an answer"),
            )
            .with("what living runners held arrived", gap < away / 2.0, format!("largest gap {gap} s, intake away for {away:.1} s")))
    }

    /// Kills all servers, and counts what is on their disks then.
    async fn kill_what_sends(&mut self, before: &mut Before, made: &mut Made) -> Result<(), ActError> {
        self.wait_for("every server shows its counters", async |play| Ok(play.view.counters("api_requests", "").await.len() == SERVERS))
            .await?;
        before.all_end(&self.view).await;
        join_all(self.servers.values_mut().map(Actor::kill)).await;
        made.kills.push((made.starts, self.stored().len()));
        Ok(())
    }

    /// Starts all servers, and waits until the event of each start is on a disk beside all others.
    async fn start_what_sends(&mut self, made: &mut Made) -> Result<(), ActError> {
        let names: Vec<String> = self.servers.keys().cloned().collect();
        for name in names {
            self.start_server(&name)?;
            made.starts += 1;
        }
        self.wait_for("the events of all starts are on the disks", async |play| Ok(play.stored().len() >= made.starts)).await?;
        made.stored.extend(self.stored());
        Ok(())
    }

    /// Events on the disks of the servers.
    fn stored(&self) -> BTreeSet<EventId> {
        self.servers.keys().flat_map(|name| spooled_events(&self.stage.run_folder(name))).collect()
    }

    /// How often the intake took an event.
    fn taken(&self, event: &EventId) -> Taken {
        self.intake.read(|ledger| ledger.events.get(event).copied().unwrap_or_default())
    }
}
