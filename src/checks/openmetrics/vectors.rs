//! The vectors of the specification and the options they leave out, without I/O.

use muster_actors::domain::samples::{SampleKind, ServiceStatus};
use muster_actors::ports::RunReport;
use serde_json::{Value as Json, json};

use super::super::common::CommonKeys;
use super::super::options::Options;
use super::super::submission::Submission;
use super::options::{ScrapeOptions, read};
use super::parser::Format;
use super::scrape::{Page, ScrapeState, process};

const BODY: &str = r#"# TYPE http_requests_total counter
http_requests_total{code="200",method="get"} 10
# TYPE temp_celsius gauge
temp_celsius{room="a"} 21.5
temp_celsius{room="b"} NaN
# TYPE lat_seconds histogram
lat_seconds_bucket{le="0.1"} 3
lat_seconds_bucket{le="0.5"} 7
lat_seconds_bucket{le="+Inf"} 9
lat_seconds_sum 4.5
lat_seconds_count 9
# TYPE rpc summary
rpc{quantile="0.5"} 1
rpc_sum 30
rpc_count 12
untyped_thing 4
"#;

/// An instance that is scraped again and again without a network.
struct Scraper {
    keys: CommonKeys,
    options: ScrapeOptions,
    state: ScrapeState,
}

impl Scraper {
    fn new(extra: Json) -> Self {
        let mut instance = json!({"openmetrics_endpoint": "http://e/", "namespace": "app", "metrics": [".+"]});
        instance.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let instance = Options::new(instance.as_object().unwrap(), "");
        let empty = serde_json::Map::new();
        let keys = CommonKeys::read("openmetrics", instance, Options::new(&empty, "init_config"), Some(2000)).unwrap();
        let (options, names, shared) = read(instance, &keys.tags).unwrap();
        Self { keys, options, state: ScrapeState { names, shared, flush_first_value: None } }
    }

    /// One scrape at Unix time 1700000000 by an agent that started at 1600000000.
    async fn scrape_as(&mut self, body: &str, format: Format) -> RunReport {
        let page = Page { text: body.to_owned(), format, size: body.len() as u64 };
        let mut run = Submission::new(&self.keys);
        let outcome = process(&page, &self.options, &mut self.state, &mut run, 1.7e9, 1.6e9).await;
        run.finish(outcome.err().map(|problem| problem.to_string()))
    }

    async fn scrape(&mut self, body: &str) -> RunReport {
        self.scrape_as(body, Format::Prometheus).await
    }
}

async fn scrape(extra: Json, body: &str) -> RunReport {
    Scraper::new(extra).scrape(body).await
}

/// Every sample as `kind name value [tags]`, the endpoint shortened to E.
fn lines(report: &RunReport) -> Vec<String> {
    assert_eq!(report.error, None);
    let kind = |kind| match kind {
        SampleKind::Gauge => "gauge",
        SampleKind::MonotonicCount => "monotonic",
        SampleKind::Rate => "rate",
        SampleKind::Count => "count",
        _ => "other",
    };
    let line = |sample: &muster_actors::domain::samples::Sample| {
        format!("{} {} {} [{}]", kind(sample.kind), sample.name, sample.value, sample.tags.join(", ").replace("http://e/", "E"))
    };
    report.samples.samples.iter().map(line).collect()
}

#[tokio::test]
async fn nr_t31_native_types_are_sent_as_upstream_sends_them() {
    let mut scraper = Scraper::new(json!({}));
    let first = scraper.scrape(BODY).await;
    let expected = [
        "monotonic app.http_requests.count 10 [code:200, method:get, endpoint:E]",
        "gauge app.temp_celsius 21.5 [room:a, endpoint:E]",
        "monotonic app.lat_seconds.bucket 3 [upper_bound:0.1, endpoint:E]",
        "monotonic app.lat_seconds.bucket 7 [upper_bound:0.5, endpoint:E]",
        "monotonic app.lat_seconds.sum 4.5 [endpoint:E]",
        "monotonic app.lat_seconds.count 9 [endpoint:E]",
        "gauge app.rpc.quantile 1 [quantile:0.5, endpoint:E]",
        "monotonic app.rpc.sum 30 [endpoint:E]",
        "monotonic app.rpc.count 12 [endpoint:E]",
    ];
    assert_eq!(lines(&first), expected);
    assert!(first.samples.samples.iter().all(|sample| !sample.flush_first_value));
    scraper.state.flush_first_value = Some(true);
    let second = scraper.scrape(BODY).await;
    assert!(
        second.samples.samples.iter().filter(|sample| sample.kind == SampleKind::MonotonicCount).all(|sample| sample.flush_first_value)
    );
}

#[tokio::test]
async fn counters_are_listed_without_their_suffix() {
    assert_eq!(lines(&scrape(json!({"metrics": ["http_requests_total"]}), BODY).await), Vec::<String>::new());
    assert_eq!(lines(&scrape(json!({"metrics": ["http_requests"]}), BODY).await).len(), 1);
}

#[tokio::test]
async fn nr_t32_buckets_can_be_counted_by_themselves() {
    let report = scrape(json!({"metrics": [{"lat_seconds": "latency"}], "non_cumulative_histogram_buckets": true}), BODY).await;
    let expected = [
        "monotonic app.latency.bucket 3 [upper_bound:0.1, endpoint:E, lower_bound:0]",
        "monotonic app.latency.bucket 4 [upper_bound:0.5, endpoint:E, lower_bound:0.1]",
        "monotonic app.latency.sum 4.5 [endpoint:E]",
        "monotonic app.latency.count 9 [endpoint:E]",
    ];
    assert_eq!(lines(&report), expected);
}

#[tokio::test]
async fn nr_t33_buckets_can_be_distributions() {
    let metrics = json!([{"lat_seconds": "latency"}]);
    let report = scrape(json!({"metrics": metrics, "histogram_buckets_as_distributions": true}), BODY).await;
    let buckets: Vec<_> = report.samples.buckets.iter().map(|bucket| (bucket.lower, bucket.upper, bucket.value)).collect();
    assert_eq!(buckets, [(0.0, 0.1, 3), (0.1, 0.5, 4), (0.5, f64::INFINITY, 2)]);
    let last = &report.samples.buckets[2];
    assert_eq!((last.name.as_str(), last.monotonic), ("app.latency", true));
    assert_eq!(last.tags, ["upper_bound:inf", "endpoint:http://e/", "lower_bound:0.5"]);
    assert!(report.samples.samples.is_empty());

    let report = scrape(json!({"metrics": metrics, "collect_counters_with_distributions": true}), BODY).await;
    assert_eq!(lines(&report), ["monotonic app.latency.sum 4.5 [endpoint:E]", "monotonic app.latency.count 9 [endpoint:E]"]);
    assert_eq!(report.samples.buckets.len(), 3);

    let report = scrape(json!({"metrics": metrics, "collect_histograms_as_distributions": true}), BODY).await;
    assert_eq!(report.samples.buckets.len(), 3);
    assert!(report.samples.buckets.iter().all(|bucket| bucket.tags == ["endpoint:http://e/"]));

    let report = scrape(json!({"metrics": metrics, "collect_histogram_buckets": false}), BODY).await;
    assert_eq!(lines(&report), ["monotonic app.latency.sum 4.5 [endpoint:E]", "monotonic app.latency.count 9 [endpoint:E]"]);
}

#[tokio::test]
async fn nr_t34_names_types_and_labels_can_be_changed() {
    let extra = json!({"metrics": [{"http_requests": "req"}, {"temp_celsius": {"name": "temp", "type": "counter_gauge"}},
        {"untyped_thing": {"name": "u", "type": "gauge"}}], "rename_labels": {"code": "status_code"}, "exclude_labels": ["method"],
        "tags": ["env:x"], "tag_by_endpoint": false});
    let expected = [
        "monotonic app.req.count 10 [status_code:200, env:x]",
        "gauge app.temp.total 21.5 [room:a, env:x]",
        "monotonic app.temp.count 21.5 [room:a, env:x]",
        "gauge app.u 4 [env:x]",
    ];
    let scraper = Scraper::new(extra.clone());
    assert_eq!(scraper.options.static_tags, ["env:x"]);
    assert_eq!(lines(&scrape(extra, BODY).await), expected);
}

#[tokio::test]
async fn nr_t35_values_can_be_service_checks() {
    let map = json!({"21": "ok", "0": "critical"});
    let extra = json!({"metrics": [{"temp_celsius": {"type": "service_check", "status_map": map}},
        {"untyped_thing": {"name": "thing", "type": "service_check", "status_map": map}}]});
    let report = scrape(extra, BODY).await;
    let states: Vec<_> =
        report.samples.service_checks.iter().map(|state| (state.name.as_str(), state.status, state.tags.clone())).collect();
    let tags = vec!["endpoint:http://e/".to_owned()];
    assert_eq!(states, [("app.temp_celsius", ServiceStatus::Ok, tags.clone()), ("app.thing", ServiceStatus::Unknown, tags)]);
}

#[tokio::test]
async fn nr_t36_a_label_can_name_the_host() {
    let report = scrape(json!({"hostname_label": "room", "hostname_format": "h-<HOSTNAME>-c"}), BODY).await;
    let host = |name: &str| report.samples.samples.iter().find(|sample| sample.name == name).unwrap().host.clone();
    assert_eq!(host("app.temp_celsius"), Some("h-a-c".to_owned()));
    assert_eq!(host("app.rpc.sum"), None);
}

#[tokio::test]
async fn nr_t37_labels_can_be_shared() {
    let extra = json!({"share_labels": {"http_requests": {"labels": ["method"], "values": [10]}}, "metrics": ["temp_celsius"]});
    assert_eq!(lines(&scrape(extra, BODY).await), ["gauge app.temp_celsius 21.5 [room:a, method:get, endpoint:E]"]);
    let other_value = json!({"share_labels": {"http_requests": {"labels": ["method"], "values": [11]}}, "metrics": ["temp_celsius"]});
    assert_eq!(lines(&scrape(other_value, BODY).await), ["gauge app.temp_celsius 21.5 [room:a, endpoint:E]"]);
}

#[tokio::test]
async fn nr_t40_the_time_of_creation_is_not_counted() {
    let body = "# TYPE foo counter\nfoo_total 17\nfoo_created 1.5e9\n# EOF\n";
    let report = Scraper::new(json!({})).scrape_as(body, Format::OpenMetrics).await;
    assert_eq!(lines(&report), ["monotonic app.foo.count 17 [endpoint:E]"]);
}

#[tokio::test]
async fn matching_labels_join_families() {
    let body = "# TYPE info gauge\ninfo{pod=\"a\",node=\"n1\"} 1\ninfo{pod=\"b\",node=\"n2\"} 1\n# TYPE up gauge\nup{pod=\"a\"} 1\nup{pod=\"c\"} 1\n";
    let reversed = "# TYPE up gauge\nup{pod=\"a\"} 1\nup{pod=\"c\"} 1\n# TYPE info gauge\ninfo{pod=\"a\",node=\"n1\"} 1\n";
    let extra = json!({"metrics": ["up"], "tag_by_endpoint": false, "share_labels": {"info": {"match": ["pod"], "labels": ["node"]}}});
    let joined = ["gauge app.up 1 [pod:a, node:n1]", "gauge app.up 1 [pod:c]"];
    assert_eq!(lines(&scrape(extra.clone(), body).await), joined);
    // With the cache, labels that come later are used from the second scrape on.
    let mut cached = Scraper::new(extra.clone());
    assert_eq!(lines(&cached.scrape(reversed).await)[0], "gauge app.up 1 [pod:a]");
    assert_eq!(lines(&cached.scrape(reversed).await), joined);
    let mut fresh = extra;
    fresh["cache_shared_labels"] = json!(false);
    let mut fresh = Scraper::new(fresh);
    assert_eq!(lines(&fresh.scrape(reversed).await), joined);
    assert_eq!(lines(&fresh.scrape(&reversed.replace("n1", "n9")).await)[0], "gauge app.up 1 [pod:a, node:n9]");
}

#[tokio::test]
async fn labels_of_the_target_are_added() {
    let extra = json!({"metrics": ["up"], "tag_by_endpoint": false, "target_info": true});
    let mut scraper = Scraper::new(extra.clone());
    let body = "# TYPE target_info gauge\ntarget_info{zone=\"z1\"} 1\n# TYPE up gauge\nup 1\n";
    assert_eq!(lines(&scraper.scrape(body).await), ["gauge app.up 1 [zone:z1]"]);
    assert_eq!(lines(&scraper.scrape(&body.replace("z1", "z2")).await), ["gauge app.up 1 [zone:z2]"]);
    let body = "# TYPE target info\ntarget_info{zone=\"z1\"} 1\n# TYPE up gauge\nup 1\n# EOF\n";
    assert_eq!(lines(&Scraper::new(extra).scrape_as(body, Format::OpenMetrics).await), ["gauge app.up 1 [zone:z1]"]);
}

#[tokio::test]
async fn filters_drop_lines_families_samples_labels_and_tags() {
    let base = |extra: Json| {
        let mut all = json!({"tag_by_endpoint": false});
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        all
    };
    let only = |extra: Json| async { lines(&scrape(base(extra), BODY).await) };
    assert!(
        only(json!({"raw_line_filters": ["^temp", "rpc_sum"]}))
            .await
            .iter()
            .all(|line| !line.contains("temp") && !line.contains("rpc.sum"))
    );
    assert!(only(json!({"exclude_metrics": ["rpc", "_sec+"]})).await.iter().all(|line| !line.contains("rpc") && !line.contains("lat")));
    let by_label = only(json!({"exclude_metrics_by_labels": {"room": true, "method": ["^g"], "upper_bound": ["0.5"]}})).await;
    assert_eq!(by_label.len(), 6, "{by_label:?}");
    let kept = only(json!({"include_labels": ["code", "method"], "exclude_labels": ["method"]})).await;
    assert_eq!(kept[0], "monotonic app.http_requests.count 10 [code:200]");
    assert_eq!(kept[1], "gauge app.temp_celsius 21.5 []");
    let ignored = only(json!({"tags": ["a:1", "pod:x", "b:2"], "ignore_tags": ["^pod:"], "metrics": ["temp_celsius"]})).await;
    assert_eq!(ignored, ["gauge app.temp_celsius 21.5 [room:a, a:1, b:2]"]);
    let stripped = only(json!({"raw_metric_prefix": "temp_", "metrics": ["celsius"]})).await;
    assert_eq!(stripped, ["gauge app.celsius 21.5 [room:a]"]);
}

#[tokio::test]
async fn derived_types_compute_their_values() {
    let extra = json!({"tag_by_endpoint": false, "namespace": "", "metrics": [{"temp_celsius": {"type": "rate"}},
        {"untyped_thing": {"name": "age", "type": "time_elapsed"}}, {"http_requests": {"name": "busy", "type": "temporal_percent", "scale": "second"}}],
        "extra_metrics": [{"rpc": {"type": "metadata", "label": "version"}}]});
    let expected = ["rate busy 1000 [code:200, method:get]", "rate temp_celsius 21.5 [room:a]", "gauge age 1699999996 []"];
    assert_eq!(lines(&scrape(extra, BODY).await), expected);
}

#[tokio::test]
async fn bounds_are_written_as_python_writes_them() {
    let body = "# TYPE h histogram\nh_bucket{le=\"-1\",a=\"b\"} 1\nh_bucket{a=\"b\",le=\"0.0\"} 2\nh_bucket{a=\"b\",le=\"1\"} 4\nh_bucket{a=\"b\",le=\"1e-05\"} 3\nh_bucket{a=\"c\",le=\"10.0\"} 5\n\
                # TYPE s summary\ns{quantile=\"1\"} 1\ns{quantile=\"0.0\",x=\"y\"} 1\n";
    let report = scrape(json!({"tag_by_endpoint": false, "non_cumulative_histogram_buckets": true}), body).await;
    let expected = [
        "monotonic app.h.bucket 1 [a:b, upper_bound:-1.0, lower_bound:-inf]",
        "monotonic app.h.bucket 1 [a:b, upper_bound:0, lower_bound:-1.0]",
        "monotonic app.h.bucket 1 [a:b, upper_bound:1.0, lower_bound:1e-05]",
        "monotonic app.h.bucket 1 [a:b, upper_bound:1e-05, lower_bound:0]",
        "monotonic app.h.bucket 5 [a:c, upper_bound:10.0, lower_bound:0]",
        "gauge app.s.quantile 1 [quantile:1.0]",
        "gauge app.s.quantile 1 [quantile:0, x:y]",
    ];
    assert_eq!(lines(&report), expected);
}

#[tokio::test]
async fn a_process_younger_than_the_agent_counts_in_full() {
    let young = "# TYPE c counter\nc 5\n# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.65e9\n";
    let old = young.replace("1.65e9", "1.5e9");
    for (option, body, flush) in [(true, young, true), (true, old.as_str(), false), (false, young, false)] {
        let report = scrape(json!({"use_process_start_time": option}), body).await;
        assert_eq!(report.samples.samples[0].flush_first_value, flush, "{option} {body}");
    }
}

#[tokio::test]
async fn telemetry_counts_what_came_and_what_became_of_it() {
    let extra = json!({"telemetry": true, "exclude_metrics": ["rpc"], "raw_line_filters": ["^lat"], "metrics": ["temp_celsius"], "tag_by_endpoint": false});
    let report = lines(&scrape(extra, BODY).await);
    let expected = [
        "gauge app.temp_celsius 21.5 [room:a]",
        "count app.telemetry.metrics.input.count 7 []",
        "count app.telemetry.metrics.ignored.count 3 []",
        "count app.telemetry.metrics.processed.count 1 []",
        "count app.telemetry.metrics.blacklist.count 5 []",
        &format!("gauge app.telemetry.payload.size {} []", BODY.len()),
    ];
    assert_eq!(report, expected);
}

#[tokio::test]
async fn what_came_before_a_broken_line_is_sent() {
    let mut scraper = Scraper::new(json!({}));
    let report = scraper.scrape("# TYPE a gauge\na 1\n# TYPE b gauge\nb x\n").await;
    assert_eq!(report.error.unwrap(), "line 4: the value is not a number");
    assert_eq!(report.samples.samples.len(), 1);
}

#[tokio::test]
async fn the_limit_is_2000_metrics() {
    let body = (0..3000).map(|number| format!("# TYPE m{number} gauge\nm{number} 1\n")).collect::<Vec<_>>().concat();
    let report = scrape(json!({}), &body).await;
    assert_eq!(report.samples.samples.len(), 2000);
    assert_eq!(report.warnings, ["Check openmetrics exceeded limit of 2000 metrics, ignoring next ones"]);
}
