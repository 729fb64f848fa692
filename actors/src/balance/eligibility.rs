//! Who may run what, and who should be asked first.

use crate::domain::handover::Handover;
use crate::domain::node::NodeFacts;

/// Go checks of which an agent runs one instance only, under the bare name as id. Source: cluster-checks 6.2.
///
/// Why it matters: an agent refuses a second config of such a check.
const SINGLETON_CHECKS: [&str; 8] = ["cpu", "file_handle", "io", "kubernetes_apiserver", "load", "memory", "network", "uptime"];

/// Whether an agent runs at most one instance of this check.
#[must_use]
pub fn is_singleton(check_name: &str) -> bool {
    SINGLETON_CHECKS.binary_search(&check_name).is_ok()
}

/// Nodes of a lower rank go first; the highest one is below this.
pub const RANKS: u8 = 4;

/// The rank of a node for a check: those that declared it go before those that declared nothing, and among these, for a check that must
/// not run twice, those that stop it by themselves go first. `None` = it must not get it.
#[must_use]
pub fn rank(facts: &NodeFacts, check_name: &str, handover: Handover) -> Option<u8> {
    let undeclared = match eligibility(facts, check_name) {
        Eligibility::Declared => 0,
        Eligibility::Unrestricted => 2,
        Eligibility::Refused => return None,
    };
    Some(undeclared + u8::from(handover == Handover::AtMostOnce && !facts.honours_grants))
}

/// How a node stands to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    /// It declared what it runs, and this is part of it: goes before all nodes that declared nothing.
    Declared,
    /// It declared nothing, so it runs everything.
    Unrestricted,
    /// It must not get it.
    Refused,
}

/// How a node stands to a check of this name. Source: cluster-checks 8.1, compatibility.
#[must_use]
pub fn eligibility(facts: &NodeFacts, check_name: &str) -> Eligibility {
    if !facts.may_run(check_name) {
        Eligibility::Refused
    } else if facts.compatibility.is_declared() {
        Eligibility::Declared
    } else {
        Eligibility::Unrestricted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::node::CheckCompatibility;

    fn facts(include: &[&str], exclude: &[&str]) -> NodeFacts {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        NodeFacts { compatibility: CheckCompatibility { include: set(include), exclude: set(exclude) }, ..NodeFacts::default() }
    }

    #[test]
    fn the_list_of_singletons_is_sorted_for_the_search() {
        assert!(SINGLETON_CHECKS.is_sorted());
        assert!(is_singleton("cpu") && is_singleton("uptime") && !is_singleton("http_check"));
    }

    #[test]
    fn a_name_is_accepted_if_included_and_not_excluded() {
        assert_eq!(eligibility(&facts(&[], &[]), "postgres"), Eligibility::Unrestricted);
        assert_eq!(eligibility(&facts(&["postgres"], &[]), "postgres"), Eligibility::Declared);
        assert_eq!(eligibility(&facts(&["postgres"], &[]), "redisdb"), Eligibility::Refused);
        assert_eq!(eligibility(&facts(&["postgres"], &["postgres"]), "postgres"), Eligibility::Refused);
        assert_eq!(eligibility(&facts(&[], &["redisdb"]), "postgres"), Eligibility::Declared);
    }

    #[test]
    fn who_declared_goes_before_who_honours_grants() {
        let honouring = |facts: NodeFacts| NodeFacts { honours_grants: true, ..facts };
        let (plain, declaring) = (facts(&[], &[]), facts(&["postgres"], &[]));
        let nodes = [honouring(declaring.clone()), declaring, honouring(plain.clone()), plain];
        let ranks = |handover| nodes.each_ref().map(|facts| rank(facts, "postgres", handover));
        assert_eq!(ranks(Handover::AtMostOnce), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(ranks(Handover::Gap), [Some(0), Some(0), Some(2), Some(2)]);
        assert!(ranks(Handover::AtMostOnce).iter().flatten().all(|rank| *rank < RANKS));
        assert_eq!(rank(&nodes[0], "redisdb", Handover::Any), None);
    }
}
