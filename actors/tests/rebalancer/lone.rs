//! The rebalancer alone, before a dispatcher that says what the test tells it to.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::balance::plan::Trigger;
use muster_actors::balance::policy::BalancePolicy;
use muster_actors::balance::rebalancing::RebalancerView;
use muster_actors::cluster::rebalancer::Rebalancer;
use muster_actors::cluster::rebalancer::parts::RebalancerParts;
use muster_actors::domain::constraints::ConstraintChange;
use muster_actors::domain::figures::Figures;
use muster_actors::domain::ids::{Epoch, Seq};
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::domain::world::{ServedTable, Standing};
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::messages::dispatcher::{ApplyPlan, PlanReply};
use muster_actors::messages::journal::{JournalPage, QueryJournal};
use muster_actors::messages::rebalancer::{Evaluate, Evaluated, Outcome, Refusal};

const LONG: Duration = Duration::from_secs(60);
const STALE: PlanReply = PlanReply::Stale { have: Seq(9) };

struct Lone {
    rebalancer: Handle<Rebalancer>,
    served: Publisher<ServedTable>,
    leadership: Publisher<Leadership>,
    orders: Rc<RefCell<Vec<ApplyPlan>>>,
    view: Reader<RebalancerView>,
}

fn table(decided: u64, shown: u64) -> ServedTable {
    let (standing, epoch, advanced_dispatching) = (Standing::Active, Epoch(3), true);
    ServedTable { standing, epoch, advanced_dispatching, decided: Seq(decided), shown: Seq(shown), ..ServedTable::default() }
}

impl Lone {
    /// The dispatcher gives these answers, then it applies everything.
    fn start(universe: &Universe, answers: &[PlanReply]) -> Self {
        let served = Publisher::new(table(7, 7));
        let leadership = Publisher::new(Leadership { role: Role::Leader, epoch: Epoch(3), ..Leadership::default() });
        let published = Arc::new(Publisher::new(RebalancerView::default()));
        let (orders, view) = (Rc::<RefCell<Vec<ApplyPlan>>>::default(), published.reader());
        let (given, answers) = (Rc::clone(&orders), RefCell::new(VecDeque::from(answers.to_vec())));
        let parts = RebalancerParts {
            clock: universe.clock(),
            policy: Arc::new(BalancePolicy::default()),
            served: served.reader(),
            leadership: leadership.reader(),
            figures: Publisher::new(Figures::default()).reader(),
            published,
            plans: universe.stub("dispatcher", move |order: ApplyPlan| {
                given.borrow_mut().push(order);
                answers.borrow_mut().pop_front().unwrap_or(PlanReply::Applied { moves: 0, decided: Seq(0) })
            }),
            collect: None,
            journal: universe.stub("journal", |_: QueryJournal| JournalPage::default()),
        };
        let rebalancer = universe.start("Rebalancer", move || Rebalancer::new(parts.clone()));
        Self { rebalancer, served, leadership, orders, view }
    }

    /// A forced one is handed to the dispatcher although there is nothing to move, because it ends isolations.
    async fn force(&self) -> Result<Evaluated, Refusal> {
        let asked = Evaluate { trigger: Trigger::Manual, force: true, dry_run: false };
        self.rebalancer.ask(asked, LONG).await.expect("the actor answers")
    }
}

#[test]
fn a_stale_plan_is_made_again() {
    universe::run(1, |universe| async move {
        let lone = Lone::start(&universe, &[STALE; 4]);
        let done = lone.force().await.expect("the fifth one is applied");
        assert_eq!(done.outcome, Outcome::Nothing, "nothing moved");
        assert_eq!(lone.orders.borrow().len(), 5);
        let order = lone.orders.borrow()[0].clone();
        assert_eq!((order.epoch, order.generation, order.constraints), (Epoch(3), Seq(7), vec![ConstraintChange::EndIsolations]));
        assert_eq!((lone.view.current().plans, lone.view.current().stale), (5, 4));
    });
}

#[test]
fn five_stale_plans_in_a_row_are_enough() {
    universe::run(1, |universe| async move {
        let lone = Lone::start(&universe, &[STALE; 6]);
        assert_eq!(lone.force().await, Err(Refusal::Stale));
        assert_eq!(lone.orders.borrow().len(), 5);
    });
}

#[test]
fn a_dispatcher_that_does_not_dispatch_ends_it() {
    universe::run(1, |universe| async move {
        let lone = Lone::start(&universe, &[STALE, PlanReply::NotDispatching]);
        assert_eq!(lone.force().await, Err(Refusal::NotDispatching));
    });
}

#[test]
fn no_plan_is_made_of_what_agents_are_not_shown_yet() {
    universe::run(1, |universe| async move {
        let lone = Lone::start(&universe, &[]);
        lone.served.publish(table(8, 7));
        let done = Rc::new(Cell::new(false));
        let shown = async {
            universe.advance(Duration::from_secs(1)).await;
            assert!(!done.get());
            lone.served.publish(table(8, 8));
        };
        let asked = async {
            assert!(lone.force().await.is_ok());
            done.set(true);
        };
        tokio::join!(shown, asked);
        assert_eq!(lone.orders.borrow()[0].generation, Seq(8));
        lone.served.publish(table(9, 8));
        assert_eq!(lone.force().await, Err(Refusal::Stale), "it is never shown");
    });
}

#[test]
fn who_loses_the_lease_while_it_plans_gives_up() {
    universe::run(1, |universe| async move {
        let lone = Lone::start(&universe, &[]);
        lone.served.publish(table(8, 7));
        let lost = async {
            universe.advance(Duration::from_secs(1)).await;
            lone.leadership.publish(Leadership { role: Role::Follower, epoch: Epoch(4), ..Leadership::default() });
        };
        let (answer, ()) = tokio::join!(lone.force(), lost);
        assert_eq!(answer, Err(Refusal::NotDispatching));
        assert!(lone.orders.borrow().is_empty());
    });
}
