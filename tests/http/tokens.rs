//! Vectors of cluster-agent-kubernetes 11: tokens, classes, routing.

use crate::client::{Call, Reply};
use crate::site::{CLUSTER, LOCAL, Site};

fn assert_error_headers(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
}

#[actix_rt::test]
async fn ca_h1_to_h6_the_refusals_word_by_word() {
    let site = Site::start().await;
    let refused = [
        (None, 401, "no session token provided\n"),
        (Some("Basic abc".to_owned()), 401, "unsupported authorization scheme: Basic\n"),
        (Some("Bearer wrong".to_owned()), 403, "invalid session token\n"),
        (Some(format!("Bearer {LOCAL}")), 403, "invalid session token\n"),
        (Some(format!("Bearer  {CLUSTER}")), 403, "invalid session token\n"),
        (Some(format!("Bearer {CLUSTER} x")), 403, "invalid session token\n"),
        (Some("Bearer".to_owned()), 403, "invalid session token\n"),
        (Some(String::new()), 401, "no session token provided\n"),
    ];
    for (header, status, text) in refused {
        let call = Call::get("/version");
        let call = header.iter().fold(call, |call, header| call.header("Authorization", header));
        let reply = site.call(&call).await;
        assert_eq!((reply.status, reply.text().as_str()), (status, text), "{header:?}");
        assert_error_headers(&reply);
        let challenge = (status == 401).then_some("Bearer realm=\"Datadog Agent\"");
        assert_eq!(reply.header("www-authenticate"), challenge, "{header:?}");
    }
    let reply = site.get("/version").await;
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (200, r#"{"Major":7,"Minor":81,"Patch":1,"Pre":"","Meta":"","Commit":"abc1234567"}"#)
    );
    assert_eq!(reply.header("content-type"), Some("application/json"));
    site.stop().await;
}

#[actix_rt::test]
async fn ca_h7_internal_paths_take_either_token() {
    let site = Site::start().await;
    for token in [CLUSTER, LOCAL] {
        for path in ["/status/health", "/hostname", "/api/v1/clusterchecks", "/api/v1/endpointschecks/configs", "/api/v1/muster/journal"] {
            assert_eq!(site.call(&Call::get(path).bearer(token)).await.status, 200, "{path}");
        }
    }
    site.stop().await;
}

#[actix_rt::test]
async fn ca_h10_the_query_does_not_change_the_class() {
    let site = Site::start().await;
    for path in ["/version?x=1", "/version?x=/a/b", "/api/v1/annotations/node/n1?filter=a/b"] {
        assert_eq!(site.call(&Call::get(path).bearer(LOCAL)).await.status, 403, "{path}");
        assert_ne!(site.call(&Call::get(path).bearer(CLUSTER)).await.status, 403, "{path}");
    }
    let call = Call::post("/api/v1/clusterchecks/status/n1?x=a/b", r#"{"last_change":0}"#);
    assert_eq!(site.call(&call.bearer(CLUSTER)).await.status, 200);
    site.stop().await;
}

#[actix_rt::test]
async fn ca_h11_a_pod_path_cut_short_is_no_route() {
    let site = Site::start().await;
    assert_eq!(site.call(&Call::get("/api/v1/tags/pod").bearer(LOCAL)).await.status, 503);
    assert_eq!(site.call(&Call::get("/api/v1/tags/pod/n1").bearer(LOCAL)).await.status, 403);
    assert_eq!(site.get("/api/v1/tags/pod/n1/default").await.status, 404);
    assert_eq!(site.get("/api/v1/tags/pod/n1/default/p").await.status, 503);
    site.stop().await;
}

#[actix_rt::test]
async fn ca_h12_other_methods_are_405_after_authentication() {
    let site = Site::start().await;
    assert_eq!(site.call(&Call::post("/version", "")).await.status, 401);
    for (method, path, allow) in [
        ("POST", "/version", "GET"),
        ("HEAD", "/version", "GET"),
        ("OPTIONS", "/version", "GET"),
        ("PUT", "/api/v1/clusterchecks/status/n1", "POST"),
        ("GET", "/api/v1/clusterchecks/status/n1", "POST"),
        ("DELETE", "/api/v1/clusterchecks/configs/n1", "GET"),
        ("DELETE", "/config/log_level", "GET, POST"),
        ("GET", "/stop", "POST"),
    ] {
        let reply = site.call(&Call::new(method, path).bearer(CLUSTER)).await;
        assert_eq!((reply.status, reply.text().as_str()), (405, ""), "{method} {path}");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    assert!(site.node("n1").await.is_none());
    site.stop().await;
}

#[actix_rt::test]
async fn ca_h16_features_that_are_off_say_so() {
    let site = Site::start().await;
    for (path, text) in [
        ("/api/v1/languagedetection", "Language detection feature is disabled on the cluster agent\n"),
        ("/api/v2/series", "Autoscaling workload failover store is disabled on the cluster agent\n"),
    ] {
        let reply = site.call(&Call::post(path, "").bearer(CLUSTER)).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, text));
        let reply = site.call(&Call::post(path, vec![7; 70_000]).bearer(CLUSTER)).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, text), "with a body");
    }
    assert_eq!(site.get("/autoscaler-list").await.status, 204);
    site.stop().await;
}

#[actix_rt::test]
async fn ca_h20_unknown_paths_are_401_then_404() {
    let site = Site::start().await;
    for path in [
        "/nope",
        "/",
        "/version/",
        "//version",
        "/./version",
        "/x/../version",
        "/api/v1/clusterchecks/",
        "/api/v1/clusterchecks/status/",
        "/api/v1/clusterchecks/status/a/b",
        "/api/v1/clusterchecks/status/a%2Fb",
        "/api/v1/cf/apps",
        "/telemetry",
    ] {
        assert_eq!(site.call(&Call::get(path)).await.status, 401, "{path}");
        let reply = site.get(path).await;
        assert_eq!((reply.status, reply.text().as_str()), (404, "404 page not found\n"), "{path}");
        assert_error_headers(&reply);
    }
    site.stop().await;
}

#[actix_rt::test]
async fn metadata_routes_say_that_there_is_no_kubernetes() {
    let site = Site::start().await;
    for path in [
        "/api/v1/tags/node/n1",
        "/api/v1/annotations/node/n1?filter=x",
        "/api/v1/uid/node/n1",
        "/api/v1/info/node/n1",
        "/api/v1/tags/namespace/default",
        "/api/v1/metadata/namespace/default",
        "/api/v1/tags/pod/n1/default/p",
        "/api/v1/tags/pod/n1",
        "/api/v1/tags/pod",
        "/api/v1/metadata/n1/default/p",
        "/api/v1/cluster/id",
    ] {
        let reply = site.get(path).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, "no Kubernetes in stand-alone mode\n"), "{path}");
    }
    assert_eq!(site.get("/api/v1/cluster/eks-identity").await.text(), "EKS cluster identity is not available\n");
    site.stop().await;
}

#[actix_rt::test]
async fn a_refused_caller_keeps_its_connection() {
    let site = Site::start().await;
    let mut connection = site.connect().await;
    let wrong = Call::post("/api/v1/clusterchecks/status/n1", r#"{"last_change":0}"#).bearer("wrong");
    for _ in 0..3 {
        assert_eq!(connection.call(&wrong).await.status, 403);
    }
    assert_eq!(connection.call(&Call::get("/version").bearer(CLUSTER)).await.status, 200);
    site.stop().await;
}
