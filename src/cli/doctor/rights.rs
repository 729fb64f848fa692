//! Which rights are there: one SelfSubjectAccessReview per verb. Source: cluster-agent-kubernetes 9.1.

use futures_util::stream::{self, StreamExt as _};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::finding::{Finding, Section};
use crate::config::settings::KubernetesSettings;
use crate::kube::error::describe;
use crate::kube::rights::{Feature, Need, needed};

/// Questions asked at a time.
const AT_A_TIME: usize = 8;

/// One finding per feature that is switched on.
pub(super) async fn examine(client: &Client, settings: &KubernetesSettings, namespace: &str, who: &str) -> Vec<Finding> {
    let needs = needed(settings, namespace);
    match lacking(client, &needs).await {
        Ok(lacking) => report(&needs, &lacking, who),
        Err(error) => vec![Finding::mend(Section::Rights, "all", format!("cannot be asked for: {error}"), "see the API server above")],
    }
}

/// What is not granted: the needs with only the verbs that are missing.
async fn lacking(client: &Client, needs: &[Need]) -> Result<Vec<Need>, String> {
    let questions = needs.iter().flat_map(|need| need.verbs.iter().map(move |verb| (need, *verb)));
    let answers = stream::iter(questions).map(|(need, verb)| async move { (need, verb, granted(client, need, verb).await) });
    let answers: Vec<_> = answers.buffered(AT_A_TIME).collect().await;
    let mut lacking: Vec<Need> = Vec::new();
    for (need, verb, answer) in answers {
        if answer.map_err(|error| describe(&error))? {
            continue;
        }
        match lacking.last_mut() {
            Some(last) if Need { verbs: Vec::new(), ..last.clone() } == Need { verbs: Vec::new(), ..need.clone() } => last.verbs.push(verb),
            _ => lacking.push(Need { verbs: vec![verb], ..need.clone() }),
        }
    }
    Ok(lacking)
}

async fn granted(client: &Client, need: &Need, verb: &str) -> Result<bool, kube::Error> {
    let spec = if need.is_url() {
        let attributes = NonResourceAttributes { path: Some(need.resource.to_owned()), verb: Some(verb.to_owned()) };
        SelfSubjectAccessReviewSpec { non_resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() }
    } else {
        let attributes = ResourceAttributes {
            group: Some(need.group.to_owned()),
            resource: Some(need.resource.to_owned()),
            verb: Some(verb.to_owned()),
            namespace: need.namespace.clone(),
            name: need.name.clone(),
            ..ResourceAttributes::default()
        };
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() }
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

fn report(needs: &[Need], lacking: &[Need], who: &str) -> Vec<Finding> {
    let of = |feature, needs: &[Need]| needs.iter().filter(|need| need.feature == feature).cloned().collect::<Vec<_>>();
    let features = Feature::ALL.into_iter().filter(|feature| needs.iter().any(|need| need.feature == *feature));
    features.map(|feature| one(feature, &of(feature, needs), &of(feature, lacking), who)).collect()
}

fn one(feature: Feature, needs: &[Need], lacking: &[Need], who: &str) -> Finding {
    let verbs = |needs: &[Need]| needs.iter().map(|need| need.verbs.len()).sum::<usize>();
    if lacking.is_empty() {
        return Finding::well(Section::Rights, feature.name(), format!("all {} granted", verbs(needs)));
    }
    let list: Vec<String> = lacking.iter().map(Need::to_string).collect();
    let found = format!("not granted: {}", list.join("; "));
    let (own, cluster): (Vec<_>, Vec<_>) = lacking.iter().partition(|need| need.namespace.is_some());
    let mut places: Vec<String> = own.iter().filter_map(|need| need.namespace.clone()).map(|name| format!("a Role in {name:?}")).collect();
    places.dedup();
    if !cluster.is_empty() {
        places.push("a ClusterRole".to_owned());
    }
    let mend = format!(
        "bind {} with these rules to {who} (deploy/rbac/{} has them). Without: {}",
        places.join(" and "),
        feature.name(),
        feature.without()
    );
    let rules = own.into_iter().chain(cluster).map(Need::rule).collect();
    let finding = if feature.is_optional() {
        Finding::advice(Section::Rights, feature.name(), found, mend)
    } else {
        Finding::mend(Section::Rights, feature.name(), found, mend)
    };
    Finding { rules, ..finding }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::config::{Config, Role};

    fn needs() -> Vec<Need> {
        let mut settings = KubernetesSettings::from_config(&Config::defaults(Role::Cluster));
        settings.election.enabled = true;
        settings.events.collect = true;
        needed(&settings, "ns")
    }

    fn without(feature: Feature, resource: &str, verbs: &[&'static str]) -> Vec<Need> {
        let of_resource = needs().into_iter().filter(|need| need.feature == feature && need.resource == resource);
        of_resource.map(|need| Need { verbs: verbs.to_vec(), ..need }).collect()
    }

    #[test]
    fn each_feature_that_is_switched_on_has_a_line() {
        let findings = report(&needs(), &[], "me");
        let lines: Vec<_> = findings.iter().map(|finding| format!("{}: {}", finding.subject, finding.found)).collect();
        let expected = [
            "metadata: all 15 granted",
            "lock: all 3 granted",
            "cluster-id: all 4 granted",
            "snapshot: all 3 granted",
            "events: all 7 granted",
            "control-plane: all 4 granted",
        ];
        assert_eq!(lines, expected);
        assert!(findings.iter().all(|finding| finding.state == State::Well));
    }

    #[test]
    fn what_is_missing_is_named_with_the_rule_that_mends_it() {
        let lacking = [without(Feature::Metadata, "pods", &["watch"]), without(Feature::Metadata, "nodes", &["list", "watch"])].concat();
        let finding = &report(&needs(), &lacking, "the service account ns/me")[0];
        assert_eq!(finding.state, State::Mend);
        assert_eq!(finding.found, "not granted: watch pods in the namespace \"ns\"; list, watch nodes in the cluster");
        let mend = finding.mend.as_deref().unwrap();
        let start =
            "bind a Role in \"ns\" and a ClusterRole with these rules to the service account ns/me (deploy/rbac/metadata has them).";
        assert!(mend.starts_with(start), "{mend}");
        assert_eq!(
            finding.rules,
            [
                "- apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [watch]\n",
                "- apiGroups: [\"\"]\n  resources: [nodes]\n  verbs: [list, watch]\n"
            ]
        );
    }

    #[test]
    fn what_can_be_done_without_is_advice() {
        let lacking: Vec<Need> = needs().into_iter().filter(|need| need.feature == Feature::Snapshot).collect();
        let finding = report(&needs(), &lacking, "me").into_iter().find(|finding| finding.subject == "snapshot").unwrap();
        assert_eq!((finding.state, finding.rules.len()), (State::Advice, 2));
        assert!(finding.mend.unwrap().ends_with("muster.snapshot: false does without"));
    }

    #[tokio::test]
    async fn every_verb_is_asked_for() {
        use crate::kube::testing::{Reply, Script};
        use serde_json::json;

        let all = needs();
        let mut script = Script::new();
        for need in &all {
            for verb in &need.verbs {
                let answer = json!({
                    "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {},
                    "status": {"allowed": !(need.resource == "endpoints" && *verb != "get")},
                });
                script = script.on("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", Reply::json(201, &answer));
            }
        }
        let lacking = lacking(&script.client(), &all).await.unwrap();
        assert_eq!(lacking, without(Feature::Metadata, "endpoints", &["list", "watch"]));
        let asked: Vec<_> = script.bodies().iter().map(|body| body["spec"]["resourceAttributes"].clone()).collect();
        assert_eq!(asked[0], json!({"group": "", "resource": "services", "verb": "get"}));
        let lock = json!({
            "group": "", "resource": "configmaps", "verb": "update", "namespace": "ns", "name": "datadog-leader-election",
        });
        assert!(asked.contains(&lock), "{asked:#?}");
        let urls: Vec<_> = script.bodies().iter().map(|body| body["spec"]["nonResourceAttributes"].clone()).collect();
        assert!(urls.contains(&json!({"path": "/metrics", "verb": "get"})), "{urls:#?}");
        script.finish();
    }
}
