//! Instances that cannot run: every mistake is named with its key and its mend.

use muster_actors::ports::LoadError;
use serde_json::json;

use crate::harness::given;

#[test]
fn a_mistake_names_key_found_and_allowed() {
    let web = |extra: serde_json::Value| {
        let mut instance = json!({"name": "a", "url": "https://a/"});
        instance.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        instance
    };
    let scrape = |extra: serde_json::Value| {
        let mut instance = json!({"openmetrics_endpoint": "http://a/metrics", "metrics": ["a"]});
        instance.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        instance
    };
    let vectors = [
        ("http_check", json!({"url": "http://a/"}), "name", "nothing", "a name for this instance"),
        ("http_check", json!({"name": "a"}), "url", "nothing", "http:// or https://"),
        ("http_check", json!({"name": "a", "url": "ftp://a/"}), "url", "\"ftp://a/\"", "http:// or https://"),
        ("http_check", json!({"name": "a", "url": "http://"}), "url", "\"http://\"", "a URL"),
        ("http_check", json!({"name": ["a"], "url": "http://a/"}), "name", "a list", "a text"),
        ("http_check", web(json!({"timeout": "soon"})), "timeout", "\"soon\"", "seconds"),
        ("http_check", web(json!({"timeout": 0})), "timeout", "0", "above 0"),
        ("http_check", web(json!({"tags": "env:x"})), "tags", "\"env:x\"", "a list of texts"),
        ("http_check", web(json!({"content_match": "(unclosed"})), "content_match", "\"(unclosed\"", "a regular expression"),
        ("http_check", web(json!({"method": "get it"})), "method", "\"get it\"", "an HTTP method"),
        ("http_check", web(json!({"data": 5, "method": "post"})), "data", "5", "JSON"),
        ("http_check", web(json!({"headers": ["a"]})), "headers", "a list", "a mapping"),
        ("http_check", web(json!({"headers": {"a b": "c"}})), "headers", "a mapping", "legal header names"),
        ("http_check", web(json!({"extra_headers": {"a": "c\nd"}})), "extra_headers", "a mapping", "line breaks"),
        ("http_check", web(json!({"allow_redirects": "maybe"})), "allow_redirects", "\"maybe\"", "true or false"),
        ("http_check", web(json!({"days_warning": -1})), "days_warning", "-1", "0 or more"),
        ("http_check", web(json!({"auth_type": "ntlm"})), "auth_type", "\"ntlm\"", "basic"),
        ("http_check", web(json!({"auth_type": "digest"})), "auth_type", "\"digest\"", "basic"),
        ("http_check", web(json!({"auth_type": "kerberos"})), "auth_type", "\"kerberos\"", "Python"),
        ("http_check", web(json!({"auth_type": "aws"})), "auth_type", "\"aws\"", "Python"),
        ("http_check", web(json!({"ntlm_domain": "corp"})), "ntlm_domain", "\"corp\"", "nothing in this build"),
        (
            "http_check",
            web(json!({"auth_token": {"reader": {"type": "oauth"}, "writer": {"type": "header", "name": "A"}}})),
            "auth_token.reader.type",
            "\"oauth\"",
            "file",
        ),
        ("http_check", web(json!({"auth_token": {"reader": {"type": "file", "path": "/x"}}})), "auth_token", "a mapping", "`writer`"),
        ("http_check", web(json!({"proxy": {"http": "::"}})), "proxy.http", "\"::\"", "the URL of a proxy"),
        ("http_check", web(json!({"tls_ciphers": ["RC4"]})), "tls_ciphers", "a list", "ALL"),
        ("http_check", web(json!({"tls_protocols_allowed": ["TLSv1.1"]})), "tls_protocols_allowed", "a list", "TLSv1.3"),
        ("http_check", web(json!({"tls_private_key_password": "x"})), "tls_private_key_password", "a text", "without a password"),
        ("http_check", web(json!({"tls_intermediate_ca_certs": ["x"]})), "tls_intermediate_ca_certs", "a list", "PEM"),
        ("http_check", web(json!({"metric_patterns": {"include": ["("]}})), "metric_patterns.include", "a list", "regular expressions"),
        ("http_check", web(json!({"loader": "python"})), "loader", "\"python\"", "Python checks are not available in this build yet"),
        ("http_check", web(json!({"loader": "jmx"})), "loader", "\"jmx\"", "core"),
        ("tcp_check", json!({"host": "a", "port": 1}), "name", "nothing", "a name for this instance"),
        ("tcp_check", json!({"name": "a", "port": 1}), "host", "nothing", "the host to connect to"),
        ("tcp_check", json!({"name": "a", "host": "a"}), "port", "nothing", "from 1 to 65535"),
        ("tcp_check", json!({"name": "a", "host": "a", "port": "http"}), "port", "\"http\"", "from 1 to 65535"),
        ("tcp_check", json!({"name": "a", "host": "a", "port": 65_536}), "port", "65536", "from 1 to 65535"),
        ("tcp_check", json!({"name": "a", "host": "a", "port": 1, "ip_cache_duration": "x"}), "ip_cache_duration", "\"x\"", "0 or more"),
        ("openmetrics", json!({"metrics": ["a"]}), "openmetrics_endpoint", "nothing", "the URL of the metrics"),
        ("openmetrics", json!({"prometheus_url": "http://a/"}), "openmetrics_endpoint", "nothing", "legacy engine, which is not available"),
        ("openmetrics", json!({"openmetrics_endpoint": "http://a/"}), "metrics", "nothing", "a list of names"),
        ("openmetrics", json!({"openmetrics_endpoint": "a:b:c", "metrics": []}), "openmetrics_endpoint", "\"a:b:c\"", "a URL"),
        ("openmetrics", scrape(json!({"metrics": "a"})), "metrics", "\"a\"", "a list of names"),
        ("openmetrics", scrape(json!({"metrics": [["a"]]})), "metrics", "a list", "a list of names"),
        ("openmetrics", scrape(json!({"metrics": [{"a": 1}]})), "metrics.a", "1", "a name, or a mapping"),
        ("openmetrics", scrape(json!({"metrics": ["a("]})), "metrics.a(", "\"a(\"", "regular expression"),
        ("openmetrics", scrape(json!({"metrics": [{"a": {"type": "meter"}}]})), "metrics.a.type", "\"meter\"", "counter_gauge"),
        ("openmetrics", scrape(json!({"metrics": [{"a": {"type": "service_check"}}]})), "metrics.a.status_map", "nothing", "ok, warning"),
        (
            "openmetrics",
            scrape(json!({"metrics": [{"a": {"type": "temporal_percent", "scale": "hour"}}]})),
            "metrics.a.scale",
            "\"hour\"",
            "millisecond",
        ),
        ("openmetrics", scrape(json!({"metrics": [{"a": {"type": "metadata"}}]})), "metrics.a.label", "nothing", "the label"),
        ("openmetrics", scrape(json!({"hostname_label": "h", "hostname_format": "x"})), "hostname_format", "\"x\"", "<HOSTNAME>"),
        ("openmetrics", scrape(json!({"exclude_metrics": ["("]})), "exclude_metrics", "a list", "regular expressions"),
        (
            "openmetrics",
            scrape(json!({"exclude_metrics_by_labels": {"a": "b"}})),
            "exclude_metrics_by_labels.a",
            "\"b\"",
            "true, or a list",
        ),
        ("openmetrics", scrape(json!({"rename_labels": ["a"]})), "rename_labels", "a list", "a mapping"),
        ("openmetrics", scrape(json!({"share_labels": {"a": "b"}})), "share_labels.a", "\"b\"", "labels, match and values"),
        ("openmetrics", scrape(json!({"share_labels": {"a": {"values": ["x"]}}})), "share_labels.a.values", "a list", "whole numbers"),
        ("openmetrics", scrape(json!({"raw_line_filters": "a"})), "raw_line_filters", "\"a\"", "a list of texts"),
        ("openmetrics", scrape(json!({"telemetry": "perhaps"})), "telemetry", "\"perhaps\"", "true or false"),
        ("openmetrics", scrape(json!({"max_returned_metrics": "many"})), "max_returned_metrics", "\"many\"", "a whole number"),
    ];
    for (check, instance, key, found, allowed) in vectors {
        let error = given(check, &instance).load().err().unwrap_or_else(|| panic!("{instance} was loaded"));
        let LoadError::Option { key: seen_key, found: seen_found, allowed: seen_allowed } = &error else {
            panic!("{instance}: {error}");
        };
        assert_eq!((seen_key.as_str(), seen_found.as_str()), (key, found), "{instance}: {error}");
        assert!(seen_allowed.contains(allowed), "{instance}: {error}");
    }
}

#[test]
fn an_unknown_check_is_told_which_ones_there_are() {
    let error = given("redisdb", &json!({})).load().err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("no loader for check \"redisdb\", known checks: http_check, kubernetes_apiserver, openmetrics, tcp_check"),
        "{error}"
    );
}

#[test]
fn text_that_is_no_mapping_is_refused() {
    for text in ["[1, 2]", "just words", "{\"a\": "] {
        let mut config = given("http_check", &json!({}));
        config.instance = text.to_owned();
        assert!(matches!(config.load().err().unwrap(), LoadError::Unreadable { index: 0, .. }), "{text}");
    }
}

#[test]
fn init_config_chooses_the_loader_only_where_the_instance_does_not() {
    let python = json!({"loader": "python"});
    let error = given("http_check", &json!({"name": "a", "url": "http://a/"})).init(&python).load().err().unwrap();
    assert!(error.to_string().contains("init_config.loader"), "{error}");
    let own = given("http_check", &json!({"name": "a", "url": "http://a/", "loader": "core"})).init(&python);
    assert!(own.load().is_ok());
}

#[test]
fn keys_that_read_files_are_for_configs_from_files_only() {
    let token = json!({"reader": {"type": "file", "path": "/etc/shadow"}, "writer": {"type": "header", "name": "A"}});
    let vectors = [
        ("tls_cert", "tls_cert", json!("/x")),
        ("tls_private_key", "tls_private_key", json!("/x")),
        ("tls_ca_cert", "tls_ca_cert", json!("/x")),
        ("client_cert", "client_cert", json!("/x")),
        ("client_key", "client_key", json!("/x")),
        ("ca_certs", "ca_certs", json!("/x")),
        ("auth_token", "auth_token.reader.path", token),
    ];
    for (key, named, value) in vectors {
        let instance = json!({"name": "a", "url": "https://a/", key: value});
        let error = given("http_check", &instance).provider("kubernetes-services").load().err().unwrap().to_string();
        assert!(error.contains(&format!("option {named:?}")) && error.contains("conf.d"), "{error}");
        assert!(given("http_check", &instance).load().is_ok());
    }
    let from_init = given("http_check", &json!({"name": "a", "url": "https://a/"})).init(&json!({"ca_certs": "/x"})).provider("etcd");
    assert!(from_init.load().is_err());
}
