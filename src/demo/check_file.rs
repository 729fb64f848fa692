//! The files of check configs: each has one instance, which runs every second against the target.

/// Name of check `number`.
#[must_use]
pub fn check_name(number: usize) -> String {
    format!("web-{number:02}")
}

/// Path below `conf.d` and text of check `number`; every fourth number is another kind of check.
///
/// `version` changes what is asked for, except of TCP checks, which ask for nothing.
#[must_use]
pub fn check_file(number: usize, version: usize, target: &str) -> (String, String) {
    let name = check_name(number);
    let (folder, body) = match number % 4 {
        0 => (
            "openmetrics.d",
            format!(
                "  - openmetrics_endpoint: http://{target}/metrics?v={version}\n    namespace: demo\n    metrics: [demo_requests, demo_up]\n"
            ),
        ),
        3 => {
            let (host, port) = target.split_once(':').unwrap_or((target, "80"));
            ("tcp_check.d", format!("  - name: {name}\n    host: {host}\n    port: {port}\n"))
        }
        _ => ("http_check.d", format!("  - name: {name}\n    url: http://{target}/{name}?v={version}\n")),
    };
    let text = format!(
        "cluster_check: true\ninit_config: {{}}\ninstances:\n{body}    min_collection_interval: 1\n    tags: [\"demo_check:{name}\"]\n"
    );
    (format!("{folder}/{name}.yaml"), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_check_names_the_target_and_itself() {
        for number in 1..=4 {
            let (path, text) = check_file(number, 0, "127.0.0.1:80");
            assert!(path.contains(&check_name(number)), "{path}");
            assert!(text.contains("127.0.0.1") && text.contains(&format!("demo_check:{}", check_name(number))), "{text}");
        }
    }
}
